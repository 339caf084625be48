package peers

import (
	"fmt"
	"os"
	"path/filepath"
)

const pakhuisConfiguration = `[server]
listen = %q
[storage]
root = %q
[auth]
htpasswd = %q
[tls]
certificate = %q
key = %q
[log]
level = "warn"
`

const distributionConfiguration = `version: 0.1
log: {level: error, accesslog: {disabled: true}}
http:
  addr: %q
  secret: not-a-secret
  tls: {certificate: %q, key: %q}
auth:
  htpasswd: {realm: bench, path: %q}
storage:
  filesystem: {rootdirectory: %q}
  delete: {enabled: true}
  maintenance: {uploadpurging: {enabled: false}}
`

// One process, so that its CPU is that of one /proc/PID/stat.
const nginxConfiguration = `daemon off;
master_process off;
pid %[1]s/nginx.pid;
error_log stderr error;
events { worker_connections 1024; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi;
  scgi_temp_path %[1]s/scgi;
  server {
    listen %[2]s ssl http2;
    ssl_certificate %[3]s;
    ssl_certificate_key %[4]s;
    ssl_protocols TLSv1.2 TLSv1.3;
    root %[5]s;
  }
}
`

// configure writes the configuration of the server and gives the arguments of its program.
func configure(server *Server) ([]string, error) {
	at := func(name string) string { return filepath.Join(server.Directory, name) }
	file := at("configuration")
	var text string
	var arguments []string
	switch server.Peer.Name {
	case Pakhuis, OtherBuild:
		text = fmt.Sprintf(pakhuisConfiguration, server.Address, server.Volume, at("htpasswd"), at("server.crt"), at("server.key"))
		arguments = []string{"serve", "--config", file}
	case StaticFile:
		text = fmt.Sprintf(nginxConfiguration, server.Directory, server.Address, at("server.crt"), at("server.key"), server.Volume)
		arguments = []string{"-e", "stderr", "-c", file}
	default:
		text = fmt.Sprintf(distributionConfiguration, server.Address, at("server.crt"), at("server.key"), at("htpasswd"), server.Volume)
		arguments = []string{"serve", file}
	}
	return arguments, os.WriteFile(file, []byte(text), 0o600)
}
