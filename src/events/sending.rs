//! Sends one event after the other to a target, and judges what it answers.

use std::{fmt, io, path::Path};

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderValue, header};
use sha2::Sha256;

use super::{Target, envelope::MEDIA_TYPE};
use crate::http_client;

/// Why an event was not taken.
#[derive(Debug)]
pub(super) enum SendError {
    /// There is no connection, no answer, or one that says to come again.
    Unavailable(String),
    /// The target has read it and does not want it.
    Refused(http::StatusCode),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) => f.write_str(why),
            Self::Refused(status) => write!(f, "the target answers {status}"),
        }
    }
}

fn unavailable(error: impl fmt::Display) -> SendError {
    SendError::Unavailable(error.to_string())
}

pub(super) struct Sender {
    target: Target,
    client: http_client::Client,
}

impl Sender {
    pub(super) fn new(target: Target) -> Self {
        let client = http_client::Client::new(target.url.clone(), target.ca_certificate.clone());
        Self { target, client }
    }

    /// Sends one envelope.
    pub(super) async fn send(&mut self, body: &[u8]) -> Result<(), SendError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(file) = &self.target.secret_file {
            let secret = secret(file).map_err(|error| unavailable(format!("{}: {error}", file.display())))?;
            headers.insert("x-pakhuis-signature-256", signature(&secret, body)?);
        }
        let sent = self.client.post(headers, Bytes::copy_from_slice(body), self.target.timeout).await;
        match sent.map_err(unavailable)?.status() {
            status if status.is_success() => Ok(()),
            // It has read the event and will never take it. Any other answer may be that of a proxy, a wrong secret or
            // a service that is being replaced: the same event may be welcome later.
            status if matches!(status.as_u16(), 400 | 413 | 415 | 422) => Err(SendError::Refused(status)),
            status => Err(unavailable(format!("the target answers {status}"))),
        }
    }
}

/// The first line of the file; an empty one signs nothing.
fn secret(file: &Path) -> io::Result<zeroize::Zeroizing<Vec<u8>>> {
    let text = zeroize::Zeroizing::new(std::fs::read(file)?);
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    if line.is_empty() {
        return Err(io::Error::other("the secret is empty"));
    }
    Ok(zeroize::Zeroizing::new(line.to_vec()))
}

/// HMAC-SHA256 over the body, written as GitHub's webhooks do, which many receivers can check.
fn signature(secret: &[u8], body: &[u8]) -> Result<HeaderValue, SendError> {
    let mut mac: Hmac<Sha256> = Hmac::new_from_slice(secret).map_err(unavailable)?;
    mac.update(body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::try_from(format!("sha256={hex}")).map_err(unavailable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_one_that_receivers_know() {
        // The example of GitHub's documentation, "Validating webhook deliveries".
        let value = signature(b"It's a Secret to Everybody", b"Hello, World!").unwrap();
        assert_eq!(value, "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");
    }

    #[test]
    fn an_empty_secret_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        std::fs::write(&file, b"\n").unwrap();
        assert!(secret(&file).is_err());
        std::fs::write(&file, b"hush \r\nand more").unwrap();
        assert_eq!(secret(&file).unwrap().as_slice(), b"hush");
    }
}
