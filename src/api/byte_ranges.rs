//! Parts of a blob: one range, or many as `multipart/byteranges` (RFC 9110, 14.6).

use std::{io, ops::RangeInclusive};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, StatusCode, header};
use uuid::Uuid;

use super::{error::ApiError, headers};
use crate::{
    oci::{Digest, RangeSet},
    registry::BlobReader,
};

/// The parts of a blob a request asks for, none of them empty; `None` for the whole.
///
/// Another unit than bytes is ignored, as RFC 9110, 14.2 demands. What is out of grammar, or has its end before its
/// start, answers 416 like a range that is not there: 14.2 leaves ignoring or rejecting it to the server, 15.5.17 gives
/// the status, and the conformance program asks for it. A client that means a part never takes the whole for it.
pub(super) fn requested(
    request: &HeaderMap,
    digest: &Digest,
    size: u64,
) -> Result<Option<Vec<RangeInclusive<u64>>>, ApiError> {
    let Some(value) = request.get(header::RANGE) else { return Ok(None) };
    // The range is of the content the client began with: another content is sent whole.
    if request.get(header::IF_RANGE).is_some_and(|etag| *etag != headers::etag(digest)) {
        return Ok(None);
    }
    let unsatisfiable = ApiError::RangeNotSatisfiable { size };
    let Ok(text) = value.to_str() else { return Err(unsatisfiable) };
    match RangeSet::parse(text) {
        Ok(None) => Ok(None),
        Err(_) => Err(unsatisfiable),
        Ok(Some(ranges)) => match ranges.resolve(size) {
            ranges if ranges.is_empty() => Err(unsatisfiable),
            // Many overlapping ranges would multiply what one request costs (RFC 9110, 17.15).
            ranges if ranges.iter().map(length).sum::<u64>() > size.saturating_mul(2) => Ok(None),
            ranges => Ok(Some(ranges)),
        },
    }
}

/// Makes `response` the answer with some parts of a blob.
pub(super) fn partial(
    mut response: Response,
    reader: &BlobReader,
    ranges: &[RangeInclusive<u64>],
) -> Response {
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let size = reader.size();
    let headers = response.headers_mut();
    if let [range] = ranges {
        headers.insert(header::CONTENT_RANGE, headers::value(content_range(range, size)));
        headers.insert(header::CONTENT_LENGTH, length(range).into());
        *response.body_mut() = Body::from_stream(reader.read(range.clone()));
        return response;
    }
    let boundary = Uuid::new_v4().simple().to_string();
    let parts: Vec<(String, RangeInclusive<u64>)> =
        ranges.iter().map(|range| (part_head(&boundary, range, size), range.clone())).collect();
    let end = format!("\r\n--{boundary}--\r\n");
    let total: u64 = parts.iter().map(|(head, range)| head.len() as u64 + length(range)).sum();
    headers
        .insert(header::CONTENT_TYPE, headers::value(format!("multipart/byteranges; boundary={boundary}")));
    headers.insert(header::CONTENT_LENGTH, (total + end.len() as u64).into());
    *response.body_mut() = Body::from_stream(multipart(reader.clone(), parts, end));
    response
}

fn multipart(
    reader: BlobReader,
    parts: Vec<(String, RangeInclusive<u64>)>,
    end: String,
) -> impl Stream<Item = Result<Bytes, io::Error>> + Send {
    let parts =
        stream::iter(parts).flat_map(move |(head, range)| one(head).chain(reader.read(range)).boxed());
    parts.chain(one(end))
}

fn one(text: String) -> impl Stream<Item = Result<Bytes, io::Error>> + Send {
    stream::iter([Ok(Bytes::from(text))])
}

fn part_head(boundary: &str, range: &RangeInclusive<u64>, size: u64) -> String {
    let range = content_range(range, size);
    format!("\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: {range}\r\n\r\n")
}

fn content_range(range: &RangeInclusive<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", range.start(), range.end())
}

fn length(range: &RangeInclusive<u64>) -> u64 {
    range.end() - range.start() + 1
}
