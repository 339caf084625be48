//! What a collector says it did not take of a batch that it took (specification of OTLP, "Partial Success"). It must
//! not be sent again.

use axum::http::{HeaderMap, header};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use serde_json::Value;

/// Longest text of a collector that goes to the log.
const LONGEST_TEXT: usize = 256;

/// The spans that were rejected, and why in the collector's words. A text without rejected spans is a warning.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PartialSuccess {
    pub(super) rejected: u64,
    pub(super) why: String,
}

/// Reads the body of an answer. What cannot be read rejects nothing: the batch was taken.
pub(super) fn partial_success(headers: &HeaderMap, body: &[u8]) -> PartialSuccess {
    let media_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (rejected, why) =
        if media_type.split(';').next().is_some_and(|kind| kind.trim() == "application/json") {
            of_json(body)
        } else {
            let answer = ExportTraceServiceResponse::decode(body).unwrap_or_default();
            answer.partial_success.map(|said| (said.rejected_spans, said.error_message)).unwrap_or_default()
        };
    let why = why.chars().filter(|c| !c.is_control()).take(LONGEST_TEXT).collect();
    PartialSuccess { rejected: u64::try_from(rejected).unwrap_or_default(), why }
}

/// A number of 64 bits is a text in the JSON form of Protobuf; some write a number.
fn of_json(body: &[u8]) -> (i64, String) {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let said = &answer["partialSuccess"];
    let rejected = &said["rejectedSpans"];
    let rejected = rejected.as_i64().or_else(|| rejected.as_str()?.parse().ok());
    (rejected.unwrap_or_default(), said["errorMessage"].as_str().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;

    use super::*;

    fn read(media_type: &'static str, body: &[u8]) -> (u64, String) {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, media_type.parse().unwrap());
        let PartialSuccess { rejected, why } = partial_success(&headers, body);
        (rejected, why)
    }

    #[test]
    fn both_forms_are_read_and_what_is_neither_rejects_nothing() {
        let said = ExportTracePartialSuccess { rejected_spans: 3, error_message: "too\nold".to_owned() };
        let answer = ExportTraceServiceResponse { partial_success: Some(said) }.encode_to_vec();
        assert_eq!(read("application/x-protobuf", &answer), (3, "tooold".to_owned()));
        for (body, expected) in [
            (r#"{"partialSuccess": {"rejectedSpans": "12", "errorMessage": "full"}}"#, (12, "full")),
            (r#"{"partialSuccess": {"rejectedSpans": 2}}"#, (2, "")),
            (r#"{"partialSuccess": {"rejectedSpans": -2, "errorMessage": "careful"}}"#, (0, "careful")),
            ("{}", (0, "")),
            ("OK", (0, "")),
        ] {
            let (rejected, why) = read("application/json; charset=utf-8", body.as_bytes());
            assert_eq!((rejected, why.as_str()), expected, "{body}");
        }
        assert_eq!(read("text/plain", b"taken"), (0, String::new()));
        assert_eq!(partial_success(&HeaderMap::new(), b""), PartialSuccess::default());
    }
}
