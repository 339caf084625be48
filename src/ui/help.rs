//! How to use this server from docker, podman, containerd and a swarm, with its real name in every command.
//!
//! For everybody: whoever cannot pull yet is the one who needs it.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::header;

use super::{
    Ui,
    response::Failure,
    visitor::{Frame, Visitor},
};
use crate::oci::{Algorithm, Digest};

#[derive(Template)]
#[template(path = "help.html")]
pub(super) struct HelpPage {
    frame: Frame,
    fingerprint: Option<String>,
    scheme: &'static str,
    sign_in_required: bool,
}

/// The help page.
pub(super) async fn show(State(ui): State<Arc<Ui>>, visitor: Visitor) -> Response {
    visitor.answer(Ok(HelpPage {
        frame: visitor.frame.clone(),
        fingerprint: Authority::offered(&ui).await.map(|authority| authority.fingerprint),
        scheme: if ui.config.secure { "https" } else { "http" },
        sign_in_required: ui.authenticator.requires_sign_in(),
    }))
}

/// The certificate of the authority, as a download.
pub(super) async fn authority(State(ui): State<Arc<Ui>>, visitor: Visitor) -> Response {
    let Some(authority) = Authority::offered(&ui).await else { return visitor.fail(Failure::NotFound) };
    let headers = [
        (header::CONTENT_TYPE, "application/x-x509-ca-cert"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"ca.crt\""),
    ];
    (headers, authority.pem).into_response()
}

/// The certificate that clients must trust.
pub(super) struct Authority {
    pem: String,
    /// SHA-256 of the certificate, as `openssl x509 -fingerprint -sha256` prints it.
    fingerprint: String,
}

impl Authority {
    /// The one to offer now: it changes with the certificate, without a restart.
    async fn offered(ui: &Ui) -> Option<Self> {
        let read = ui.config.ca_certificate.clone()?;
        let pem = tokio::task::spawn_blocking(move || read()).await.ok()??;
        Self::new(&pem)
    }

    /// The first certificate in `pem`; whatever else is there, a key above all, is left out.
    pub(super) fn new(pem: &[u8]) -> Option<Self> {
        const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
        const END: &str = "-----END CERTIFICATE-----";
        let text = std::str::from_utf8(pem).ok()?;
        let body = &text[text.find(BEGIN)? + BEGIN.len()..];
        let body = &body[..body.find(END)?];
        let base64: String = body.split_ascii_whitespace().collect();
        let certificate = STANDARD.decode(base64).ok()?;
        let digest = Digest::of(Algorithm::Sha256, &certificate);
        let upper = digest.encoded().to_ascii_uppercase();
        let pairs: Vec<&str> = (0..upper.len()).step_by(2).map(|at| &upper[at..at + 2]).collect();
        Some(Self { pem: format!("{BEGIN}{body}{END}\n"), fingerprint: pairs.join(":") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_out_one_certificate_and_no_key() {
        let pem = b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n\
            -----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n\
            -----BEGIN CERTIFICATE-----\nZGVm\n-----END CERTIFICATE-----\n";
        let authority = Authority::new(pem).expect("a certificate");
        assert_eq!(authority.pem, "-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n");
        assert!(authority.fingerprint.starts_with("BA:78:16:BF:8F:01:CF:EA:"));
        assert_eq!(authority.fingerprint.len(), 95);
    }

    #[test]
    fn what_is_no_certificate_is_not_offered() {
        for pem in [
            "",
            "-----BEGIN CERTIFICATE-----",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----",
            "x",
        ] {
            assert!(Authority::new(pem.as_bytes()).is_none(), "{pem:?}");
        }
        assert!(Authority::new(&[0xff; 10]).is_none());
    }
}
