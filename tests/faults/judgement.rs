//! What a request may answer under a fault, what the volume may hold then, and what must be possible once the
//! fault is lifted.

use std::time::Duration;

use crate::{
    requests::{Request as R, Scene, TAG},
    support::{
        client::{Answer, NoAnswer},
        registry::{expect, pull, push},
        tracer::{Effect, Seen},
        volume::Volume,
    },
};

/// Whether the client was told that it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Acknowledged,
    Refused,
}

/// Judges an answer; says what is wrong with it.
pub(crate) fn answer(
    scene: &Scene,
    effect: Effect,
    answer: &Result<Answer, NoAnswer>,
    calls: &[Seen],
) -> Result<Outcome, String> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(NoAnswer::Broken(_)) if effect == Effect::Kill => return Ok(Outcome::Refused),
        Err(error) => return Err(format!("no answer: {error:?}")),
    };
    let told = answer.told();
    if answer.status == scene.request.success() {
        return success(scene, effect, answer, calls);
    }
    match (answer.status, answer.code().as_str(), error_of(effect)) {
        // A mount that cannot be done is an upload that begins.
        (202, ..) if matches!(scene.request, R::Mount | R::MountFromAnywhere) => Ok(Outcome::Refused),
        // Whoever deletes and loses the reply finds it gone, and so does the client.
        (404, ..) if matches!(effect, Effect::LostReply(_)) && scene.request.is_delete() => {
            Ok(Outcome::Acknowledged)
        }
        (507, "DENIED", Some("ENOSPC" | "EDQUOT")) => Ok(Outcome::Refused),
        (503, code, error) if !matches!(error, Some("ENOSPC" | "EDQUOT")) => {
            let has_body = answer.body.as_ref().is_ok_and(|body| !body.is_empty());
            if has_body && code != "UNAVAILABLE" {
                return Err(format!("{told} is no UNAVAILABLE"));
            }
            let after = answer.header("retry-after").parse::<u32>();
            after.map(|_| Outcome::Refused).map_err(|_| format!("{told} without Retry-After"))
        }
        _ => Err(format!("answers {told}")),
    }
}

pub(crate) fn error_of(effect: Effect) -> Option<&'static str> {
    match effect {
        Effect::Once(error) | Effect::SameCall(error) | Effect::All(error) | Effect::LostReply(error) => {
            Some(error)
        }
        Effect::Kill | Effect::Short | Effect::Hang => None,
    }
}

fn success(scene: &Scene, effect: Effect, answer: &Answer, calls: &[Seen]) -> Result<Outcome, String> {
    let Ok(body) = &answer.body else {
        // What cannot be read is cut off, so that no client takes it for whole.
        return if scene.request == R::GetBlob { Ok(Outcome::Refused) } else { Err("is cut".to_owned()) };
    };
    let (image, json) = (&scene.image, answer.json());
    let right = match scene.request {
        R::GetBlob => body == image.layer(),
        R::GetManifestByTag | R::GetManifestByDigest => *body == image.manifest,
        R::HeadBlob => answer.header("content-length") == image.layer().len().to_string(),
        R::HeadManifestByTag | R::HeadManifestByDigest => {
            answer.header("docker-content-digest") == image.digest()
        }
        R::Tags => json["tags"] == serde_json::json!([TAG]),
        R::Catalogue => json["repositories"] == serde_json::json!([scene.repository]),
        R::Referrers => json["manifests"][0]["digest"] == image.digest().as_str(),
        _ => true,
    };
    if !right {
        return Err(format!("{} with wrong content", answer.status));
    }
    if scene.request.is_durable()
        && let Some(path) = not_durable(effect, calls)
    {
        return Err(format!("{} although the flush of {path} failed", answer.status));
    }
    Ok(Outcome::Acknowledged)
}

/// A flush that failed and whose file was not thrown away: asking again proves nothing, since the kernel forgets
/// what it could not write.
fn not_durable(effect: Effect, calls: &[Seen]) -> Option<String> {
    // Of what the pages show nothing was acknowledged: it is written meanwhile, and again if need be.
    let of_the_pages = |call: &Seen| {
        let path = call.path.to_string_lossy();
        ["/.pakhuis/journal", "/.pakhuis/summaries"].iter().any(|part| path.contains(part))
    };
    let failed = calls.iter().enumerate().filter(|(_, call)| {
        error_of(effect) != Some("EINTR")
            && call.injected
            && (call.name == "fsync" || call.name == "fdatasync")
            && !of_the_pages(call)
    });
    for (number, call) in failed {
        let thrown_away =
            calls[number..].iter().any(|later| later.name == "unlink" && later.path == call.path);
        if !thrown_away {
            return Some(call.path.display().to_string());
        }
    }
    None
}

/// What the client finds at an address.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Gone,
    Image,
    Earlier,
    Wrong(String),
}

async fn look(scene: &Scene, path: &str, image: &[u8], earlier: &[u8]) -> Found {
    match scene.client.try_send("GET", path, &[], Vec::new()).await {
        Ok(answer) if answer.status == 404 => Found::Gone,
        Ok(Answer { status: 200, body: Ok(body), .. }) if body == image => Found::Image,
        Ok(Answer { status: 200, body: Ok(body), .. }) if body == earlier => Found::Earlier,
        Ok(answer) => Found::Wrong(answer.told()),
        Err(error) => Found::Wrong(format!("{error:?}")),
    }
}

/// What is wrong with the state of the volume after the request, as clients see it and as it is.
pub(crate) async fn state(scene: &Scene, volume: &Volume, outcome: Outcome) -> Vec<String> {
    let mut wrong = volume.examine().broken;
    let blob = look(scene, &scene.blob(), scene.image.layer(), b"").await;
    let (new, old) = (&scene.image.manifest, &scene.earlier.manifest);
    let manifest = look(scene, &scene.manifest(&scene.image.digest()), new, old).await;
    let tag = look(scene, &scene.manifest(TAG), new, old).await;
    let acknowledged = outcome == Outcome::Acknowledged;
    let mut must = |right: bool, what: &str| {
        if !right {
            wrong.push(format!("{what}; blob {blob:?}, manifest {manifest:?}, tag {tag:?}"));
        }
    };
    let gone_or_whole = [&blob, &manifest].iter().all(|found| matches!(found, Found::Gone | Found::Image));
    must(gone_or_whole && !matches!(tag, Found::Wrong(_)), "something is neither gone nor whole");
    must(
        manifest == Found::Gone || blob == Found::Image || scene.request == R::DeleteBlob,
        "a manifest lacks its layer",
    );
    must(tag != Found::Image || manifest == Found::Image, "a tag names what is not there");
    match scene.request {
        R::StartUpload | R::PatchFirst | R::PatchSecond | R::UploadStatus | R::CancelUpload => {
            must(blob == Found::Gone, "an upload is a blob already");
        }
        R::CommitWrongDigest => must(blob == Found::Gone, "a blob under a digest that nobody committed"),
        R::Commit
        | R::CommitWithBody
        | R::CommitKnownContent
        | R::CommitOtherAlgorithm
        | R::Monolithic
        | R::Mount
        | R::MountFromAnywhere => must(!acknowledged || blob == Found::Image, "an acknowledged blob is lost"),
        R::PutManifestByTag => must(!acknowledged || tag == Found::Image, "an acknowledged tag is lost"),
        R::MoveTag => {
            must(tag != Found::Gone, "a tag that was there is gone");
            must(!acknowledged || tag == Found::Image, "an acknowledged tag did not move");
        }
        R::PutManifestByDigest => must(!acknowledged || manifest == Found::Image, "a manifest is lost"),
        R::PutManifestWithSubject => {
            must(tag == Found::Earlier, "the subject is lost");
            must(!acknowledged || manifest == Found::Image, "an acknowledged manifest is lost");
        }
        R::DeleteTag => must(!acknowledged || tag == Found::Gone, "a deleted tag is there"),
        R::DeleteManifest | R::DeleteReferrer => {
            must(!acknowledged || manifest == Found::Gone, "a deleted manifest is there");
        }
        R::DeleteBlob => must(!acknowledged || blob == Found::Gone, "a deleted blob is there"),
        R::Referrers => must(manifest == Found::Image, "a read lost something"),
        _ => must(tag == Found::Image, "a read lost something"),
    }
    if acknowledged && matches!(scene.request, R::PutManifestWithSubject) {
        wrong.extend(listed(scene).await.err());
    }
    wrong
}

async fn listed(scene: &Scene) -> Result<(), String> {
    let answer = scene.client.try_send("GET", &scene.referrers(), &[], Vec::new()).await;
    let answer = expect(answer, &[200], "GET of referrers")?;
    let listed = answer.json()["manifests"][0]["digest"] == scene.image.digest().as_str();
    if listed { Ok(()) } else { Err("a referrer is not listed".to_owned()) }
}

/// What cannot be done once the fault is lifted: go on with the upload, repeat the request, push the image.
pub(crate) async fn afterwards(
    scene: &Scene,
    volume: &Volume,
    effect: Effect,
    answer: Option<&Answer>,
    outcome: Outcome,
) -> Vec<String> {
    let mut wrong = Vec::new();
    if scene.request.continues_upload() {
        let taken_over_later = "PATCH that goes on: 409 BLOB_UPLOAD_INVALID";
        // Bytes that became the blob before the link failed are no upload any more: the client begins anew.
        let is_stored = volume.has_blob(&scene.digest_of_layer()) && outcome == Outcome::Refused;
        let went_on = go_on(scene, outcome).await.err();
        let may_be_gone = ["the upload is lost", "PATCH that goes on: 404 BLOB_UPLOAD_UNKNOWN"];
        let went_on = went_on.filter(|error| !is_stored || !may_be_gone.contains(&error.as_str()));
        // Where even looking at what became of it fails, the claim stays; the client begins anew all the same.
        let is_lasting = matches!(effect, Effect::All(_)) && volume.has_blob(&scene.digest_of_layer());
        let went_on = went_on.filter(|error| !is_lasting || error != taken_over_later);
        // The upload of a server that died is taken over two minutes later; the same push need not wait for it.
        wrong.extend(went_on.filter(|error| effect != Effect::Kill || error != taken_over_later));
    }
    // An upload that was begun is one that its client can end.
    let begun = answer.filter(|answer| answer.status == 202 && scene.location.is_empty());
    if let Some(location) =
        begun.map(|answer| answer.header("location")).filter(|path| path.contains("/uploads/"))
    {
        let ended = scene.client.try_send("DELETE", location, &[], Vec::new()).await;
        wrong.extend(expect(ended, &[204, 404], "DELETE of the upload").err());
    }
    if scene.request.is_delete() {
        wrong.extend(expect(scene.send().await, &[202, 404], "the same DELETE again").err());
    }
    wrong.extend(push_and_pull(scene).await.err());
    wrong
}

/// The session that an error interrupted: it goes on where it says that it is.
async fn go_on(scene: &Scene, outcome: Outcome) -> Result<(), String> {
    let ended = outcome == Outcome::Acknowledged
        && !matches!(scene.request, R::PatchFirst | R::PatchSecond | R::UploadStatus);
    let status = scene.client.try_send("GET", &scene.location, &[], Vec::new()).await;
    let status = expect(status, &[204, 404], "GET of the upload")?;
    if status.status == 404 {
        let published = look(scene, &scene.blob(), scene.image.layer(), b"").await == Found::Image;
        let may_be_gone =
            ended || published || matches!(scene.request, R::CancelUpload | R::CommitWrongDigest);
        return if may_be_gone { Ok(()) } else { Err("the upload is lost".to_owned()) };
    }
    if ended {
        return gone_soon(scene).await;
    }
    let range = status.header("range").trim_start_matches("0-");
    let offset = range.parse::<usize>().map_or(0, |last| last + 1);
    if offset < scene.acknowledged {
        return Err(format!("{offset} of {} acknowledged bytes are left", scene.acknowledged));
    }
    let rest = scene.image.layer()[offset..].to_vec();
    let patched = scene.client.try_send("PATCH", &scene.location, &[], rest).await;
    // A cancellation that could not be done is done as soon as it can.
    let cancelled = scene.request == R::CancelUpload;
    let patched = expect(patched, if cancelled { &[202, 404] } else { &[202] }, "PATCH that goes on")?;
    if patched.status == 404 {
        return Ok(());
    }
    let path = format!("{}?digest={}", scene.location, scene.digest_of_layer());
    let put = scene.client.try_send("PUT", &path, &[], Vec::new()).await;
    expect(put, &[201], "PUT that ends the upload").map(drop)
}

/// Names that could not be removed are removed when the fault is lifted; the server looks every two seconds.
async fn gone_soon(scene: &Scene) -> Result<(), String> {
    for _ in 0..50 {
        let status = scene.client.try_send("GET", &scene.location, &[], Vec::new()).await;
        if expect(status, &[204, 404], "GET of the upload")?.status == 404 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err("an upload that has ended is there".to_owned())
}

async fn push_and_pull(scene: &Scene) -> Result<(), String> {
    push(&scene.client, &scene.repository, TAG, &scene.image).await?;
    pull(&scene.client, &scene.repository, TAG, &scene.image).await
}
