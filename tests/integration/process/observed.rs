//! The alert rules and the dashboard ask for metrics that there are.

use std::{collections::BTreeSet, fs, path::Path};

use super::served::{PASSWORD, Served};

/// Words that begin with `pakhuis_`.
fn metrics_in(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("pakhuis_"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn rules_and_dashboard_name_no_metric_that_is_not_there() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Served::start(&format!("metrics.listen = \"{address}\"\n"));
    // Some are there only once there was something to count.
    server.push("team/app", "1").await;
    assert_eq!(server.get("/v2/", "a wrong password").await.status(), 401);
    let text = reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
    let mut known = BTreeSet::from([
        // With TLS.
        "pakhuis_certificate_expiry_timestamp_seconds".to_owned(),
    ]);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        known.extend(line.split(['{', ' ']).next().map(str::to_owned));
    }
    for file in ["alerts.yml", "grafana.json"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(file);
        let asked = metrics_in(&fs::read_to_string(path).unwrap());
        assert!(asked.len() > 10, "{asked:?}");
        let unknown: Vec<_> = asked.difference(&known).collect();
        assert!(unknown.is_empty(), "{file} asks for {unknown:?}\n{text}");
    }
    assert_eq!(server.get("/v2/", PASSWORD).await.status(), 200);
}
