//! Request bodies, as the registry takes them.

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, header};

use super::error::ApiError;
use crate::registry::{BodyError, RegistryError};

/// The bytes of a body as they come.
pub(super) fn stream(body: Body) -> impl Stream<Item = Result<Bytes, BodyError>> + Send + Unpin + 'static {
    let stream: BodyDataStream = body.into_data_stream();
    stream.map(|result| result.map_err(|error| BodyError(error.into_inner())))
}

/// A body that must fit into memory.
///
/// # Errors
/// `ManifestTooLarge` as soon as it is known to be longer than `limit` bytes: from its announced length, before
/// anything is read, or from what has come.
pub(super) async fn whole(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let too_large = RegistryError::ManifestTooLarge { limit };
    let announced = content_length(headers);
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large.into());
    }
    let mut stream = stream(body);
    let mut bytes = BytesMut::new();
    while let Some(buffer) = stream.next().await {
        let buffer = buffer.map_err(RegistryError::Body)?;
        if bytes.len() + buffer.len() > limit {
            return Err(too_large.into());
        }
        bytes.extend_from_slice(&buffer);
    }
    Ok(bytes.freeze())
}

/// The announced length of a body.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
