//! The section `[traces]`: where spans are sent.

use http::Uri;

use super::{
    ConfigError, ConfigFile,
    settings::{Layers, http_url, shown},
};
use crate::observability::traces::Config;

/// Where OTLP over HTTP is taken unless the address says otherwise (specification of OTLP, "OTLP/HTTP Request").
const PATH: &str = "/v1/traces";

/// `None` when there is no collector.
pub(super) fn traces(layers: &mut Layers<'_>, file: &ConfigFile) -> Result<Option<Config>, ConfigError> {
    let section = &file.traces;
    let endpoint = layers.unshown("PAKHUIS_TRACES_ENDPOINT", section.endpoint.clone());
    let ratio = section.sample_ratio.unwrap_or(1.0);
    if !(0.0..=1.0).contains(&ratio) {
        return Err(ConfigError::Value {
            key: "traces.sample_ratio",
            origin: "file".to_owned(),
            value: ratio.to_string(),
            expected: "share, from 0 to 1",
        });
    }
    let ca_certificate = layers.optional_path("traces.ca_certificate", section.ca_certificate.clone());
    let headers_file = layers.optional_path("traces.headers_file", section.headers_file.clone());
    let service_name = section.service_name.clone().unwrap_or_else(|| "pakhuis".to_owned());
    let Some((text, source)) = endpoint else { return Ok(None) };
    let endpoint = http_url(&text).map(at_the_usual_path).ok_or_else(|| ConfigError::Value {
        key: "traces.endpoint",
        origin: source.to_string(),
        // There may be a password in it.
        value: "what is there".to_owned(),
        expected: "http or https URL without a user in it",
    })?;
    layers.record("traces.endpoint", shown(&endpoint), source);
    layers.noted("traces.sample_ratio", ratio.to_string());
    layers.noted("traces.service_name", service_name.clone());
    Ok(Some(Config { endpoint, ca_certificate, headers_file, sample_ratio: ratio, service_name }))
}

fn at_the_usual_path(url: Uri) -> Uri {
    if url.path() != "/" || url.query().is_some() {
        return url;
    }
    let mut parts = url.clone().into_parts();
    parts.path_and_query = Some(http::uri::PathAndQuery::from_static(PATH));
    Uri::from_parts(parts).unwrap_or(url)
}
