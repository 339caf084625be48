module pakhuis/benches

go 1.21
