//! The Debian package and its units, under a systemd that is the first process of a machine: installed, started,
//! hardened, watched, reloaded, replaced, stopped, upgraded, removed.

mod guest;
mod package;

use std::time::{Duration, Instant};

use guest::Guest;
use package::Packages;

use crate::support::book;

/// Within which the server has to show that it lives, in place of the 30 s of the unit.
const WATCHDOG: Duration = Duration::from_secs(8);

/// All of it in one boot, which is the dear part.
#[test]
fn the_package_lives_under_systemd() {
    let begin = Instant::now();
    let told = |what: &str| println!("{:5.1} s: {what}", begin.elapsed().as_secs_f64());
    let guest = Guest::boot();
    let packages = Packages::build(guest.share());
    guest.run("true");
    told("systemd runs, and the package is built");

    guest.run(&format!(
        "mkdir -p /etc/systemd/system/pakhuis.service.d\n\
         printf '[Service]\\nWatchdogSec={}\\n' >/etc/systemd/system/pakhuis.service.d/test.conf",
        WATCHDOG.as_secs()
    ));
    guest.run(&format!("dpkg --install /media/{}", packages.first));
    assert_eq!(guest.try_run("systemctl is-active pakhuis.service pakhuis.socket").1, "inactive\ninactive");
    begin_as_the_run_book_says(&guest);
    let started = Instant::now();
    told("installed with dpkg and started by the commands of docs/operations.md");
    nothing_but_its_own_is_writable(&guest);
    told("the unit hides what is not its own");
    configuration_is_read_again(&guest);
    told("reloaded");
    is_replaced_behind_its_socket(&guest, "systemctl restart pakhuis.service");
    told("restarted during a transfer");

    let configuration =
        guest.run("grep -q 'until Friday' /etc/pakhuis/pakhuis.toml && cat /etc/pakhuis/pakhuis.toml");
    is_replaced_behind_its_socket(
        &guest,
        &format!("dpkg --force-confold --install /media/{}", packages.second),
    );
    assert_eq!(guest.run("dpkg-query --show --showformat '${Version}' pakhuis"), packages.second_version);
    assert_eq!(guest.run("cat /etc/pakhuis/pakhuis.toml"), configuration, "an upgrade leaves it");
    assert_eq!(guest.run("cat /etc/pakhuis/pakhuis.toml.dpkg-dist | tail -n 1"), "# Of the next version.");
    told("upgraded during a transfer");

    assert!(started.elapsed() > 2 * WATCHDOG, "too short to tell that the watchdog is fed");
    assert_eq!(guest.property("pakhuis.service", "NRestarts"), "0", "nothing had to start it again");
    is_started_again_when_it_hangs(&guest);
    told("stopped in its tracks, and started again by the watchdog");
    ends_its_transfers_when_it_is_stopped(&guest);
    told("stopped during a transfer");
    leaves_what_must_not_be_lost(&guest);
    told("removed and purged");
}

/// The commands of "On one machine" but for those that the package makes needless, as they stand there.
fn begin_as_the_run_book_says(guest: &Guest) {
    let commands = book::commands("docs/operations.md", "\n## On one machine\n");
    let commands: Vec<_> = commands.iter().skip(4).map(String::as_str).collect();
    let brought = |line: &&str| line.ends_with("/etc/systemd/system/");
    assert_eq!(commands.iter().filter(|line| brought(line)).count(), 1, "{commands:#?}");

    for line in commands.iter().filter(|line| !brought(line)) {
        if line.contains("/mnt/docker/registry") {
            // Without the share the unit does not start, and nothing is made in its place.
            let (status, said) = guest.try_run("systemctl start pakhuis.service");
            assert!(status != 0 && said.contains("dependency"), "{said}");
            guest.run(
                "cd /etc/systemd/system && sed -i s/no-such-option/size=100m/ mnt-docker-registry.mount && \
                 systemctl daemon-reload && systemctl start mnt-docker-registry.mount",
            );
        }
        // On a terminal, and with a name more for the test.
        let line = line.replace("docker-registry.dccn.nl", "docker-registry.dccn.nl --name localhost");
        let typed =
            format!("(sleep 2; echo a-password; sleep 2; echo a-password) | script -qec '{line}' /dev/null");
        guest.run(if line.contains("add-user") { &typed } else { &line });
    }
    assert_eq!(guest.run("systemctl is-active pakhuis.service pakhuis.socket"), "active\nactive");
    assert_eq!(guest.run("systemctl is-enabled pakhuis.service pakhuis.socket"), "enabled\nenabled");
    assert_eq!(guest.property("pakhuis.service", "Type"), "notify");
    assert_eq!(ask(guest, "healthz"), "ok");
}

fn ask(guest: &Guest, path: &str) -> String {
    guest.run(&format!(
        "curl --silent --show-error --fail --cacert /etc/pakhuis/certs/ca.crt https://localhost:5000/{path}"
    ))
}

fn process(guest: &Guest) -> String {
    guest.property("pakhuis.service", "MainPID")
}

/// As its account sees it: each place that is mounted for writing, looked through for what may be written.
fn nothing_but_its_own_is_writable(guest: &Guest) {
    let seen = guest.run(&format!(
        "pid={}; grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs):' /proc/$pid/status\n\
         nsenter --target $pid --mount -- sudo -u pakhuis sh -c '\
         while read -r _ _ _ _ place _; do case $place in /proc*|/sys*) continue ;; esac; \
         find $place -xdev -writable ! -type l ! -type c ! -type s 2>/dev/null; done </proc/self/mountinfo' | sort -u",
        process(guest)
    ));
    let (status, writable): (Vec<_>, Vec<_>) = seen.lines().partition(|line| line.contains(":\t"));
    let status = status.join("\n");
    assert!(status.contains("CapEff:\t0000000000000000") && status.contains("NoNewPrivs:\t1"), "{status}");
    assert!(!status.contains("Uid:\t0"), "{status}");
    let own =
        ["/mnt/docker/registry", "/etc/pakhuis", "/var/lib/pakhuis", "/var/log/pakhuis", "/tmp", "/var/tmp"];
    let others: Vec<_> =
        writable.iter().filter(|path| !own.iter().any(|own| path.starts_with(own))).collect();
    assert!(others.is_empty(), "{others:#?}");
    assert!(writable.contains(&own[0]) && writable.contains(&own[2]), "{writable:#?}");
    // A file of the host's /tmp is not seen, and what it writes comes to the volume.
    guest.run(
        "set -e; head -c 6000000 /dev/urandom >blob; echo \"sha256:$(sha256sum <blob | cut -d' ' -f1)\" >digest\n\
         curl --silent --show-error --fail --cacert /etc/pakhuis/certs/ca.crt --user alice:a-password --data-binary @blob \
         --header 'Content-Type: application/octet-stream' \
         \"https://localhost:5000/v2/team/app/blobs/uploads/?digest=$(cat digest)\"\n\
         find /mnt/docker/registry -type f -size 6000000c -user pakhuis | grep -q /blobs/",
    );
}

fn configuration_is_read_again(guest: &Guest) {
    let before = process(guest);
    guest.run("sed -i 's/^\\[registry\\]$/&\\nwarning = \"until Friday\"/' /etc/pakhuis/pakhuis.toml");
    guest.run("systemctl reload pakhuis.service");
    let shown = "for _ in $(seq 60); do curl --silent --include --cacert /etc/pakhuis/certs/ca.crt --user alice:a-password \
                 https://localhost:5000/v2/_catalog | grep -i '^warning:.*until Friday' && exit; sleep 0.5; done; exit 1";
    guest.run(shown);
    assert_eq!(process(guest), before, "the same process");
}

/// Something puts another process in its place: a transfer that runs meanwhile ends well, and nobody is refused.
fn is_replaced_behind_its_socket(guest: &Guest, replace: &str) {
    let before = process(guest);
    let said = guest.run(&format!(
        "bash /media/guest/load.sh & load=$!\n{TRANSFER}{replace} || exit\nwait $transfer || exit\n\
         sleep 2; touch stop; wait $load; cat transfer tally failures; cmp got blob"
    ));
    println!("{}", said.lines().rev().take(3).collect::<Vec<_>>().join(", "));
    let number = |word: &str| -> usize {
        let line = said.lines().find(|line| line.ends_with(word));
        line.and_then(|line| line.split(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("{said}"))
    };
    assert!(said.contains("\n200 after ") || said.starts_with("200 after "), "{said}");
    assert!(number(" requests") >= 2 && number(" connections") >= 5, "too few to tell: {said}");
    assert_eq!(guest.run("cat failures"), "", "{said}");
    assert_ne!(process(guest), before, "another process");
    assert_eq!(guest.run("readlink /proc/$(systemctl show -P MainPID pakhuis)/exe"), "/usr/bin/pakhuis");
}

/// A pull of 6 MB at 2 MB/s, under way.
const TRANSFER: &str = "rm -f got; curl --silent --show-error --cacert /etc/pakhuis/certs/ca.crt --user alice:a-password \
     --limit-rate 2M --output got --write-out '200 after %{time_total} s\\n' --fail \
     https://localhost:5000/v2/team/app/blobs/$(cat digest) >transfer 2>&1 & transfer=$!\n\
     while [ ! -s got ]; do sleep 0.05; done\n";

fn is_started_again_when_it_hangs(guest: &Guest) {
    let before = process(guest);
    guest.run(&format!(
        "kill -STOP {before}; for _ in $(seq 600); do now=$(systemctl show -P MainPID pakhuis)\n\
         [ $now != 0 ] && [ $now != {before} ] && systemctl is-active --quiet pakhuis && exit; sleep 0.1; done; exit 1"
    ));
    assert_eq!(guest.property("pakhuis.service", "NRestarts"), "1");
    guest.run("journalctl --unit pakhuis.service | grep \"Failed with result 'watchdog'\"");
    assert_eq!(ask(guest, "healthz"), "ok");
}

fn ends_its_transfers_when_it_is_stopped(guest: &Guest) {
    let said = guest.run(&format!(
        "{TRANSFER}systemctl stop pakhuis.socket pakhuis.service; kill -0 $transfer 2>/dev/null && echo too early\n\
         wait $transfer || exit; cat transfer; cmp got blob"
    ));
    assert!(said.starts_with("200 after "), "{said}");
    assert_eq!(guest.property("pakhuis.service", "Result"), "success");
    assert_eq!(guest.property("pakhuis.service", "ExecMainStatus"), "0");
    let (status, _) = guest.try_run(": <>/dev/tcp/127.0.0.1/5000");
    assert_ne!(status, 0, "nobody has the port");
}

/// Removal stops it and takes program and units; a purge takes the configuration that the package brought, too.
fn leaves_what_must_not_be_lost(guest: &Guest) {
    guest.run("systemctl start pakhuis.socket pakhuis.service && dpkg --remove pakhuis");
    let (_, said) = guest.try_run("systemctl is-active pakhuis.service pakhuis.socket");
    assert_eq!(said, "inactive\ninactive");
    let kept = "set -e; cd /etc/pakhuis; ls htpasswd certs/server.key certs/ca.key; id pakhuis; \
                find /mnt/docker/registry -type f -size 6000000c | grep /blobs/";
    guest.run(kept);
    guest.run("ls /etc/pakhuis/pakhuis.toml && dpkg --purge pakhuis && [ ! -e /etc/pakhuis/pakhuis.toml ]");
    guest.run(kept);
    let left =
        "find /etc/systemd /lib/systemd /usr/share /usr/bin -name '*pakhuis*' ! -path '*pakhuis.service.d*'";
    assert_eq!(guest.run(left), "");
}
