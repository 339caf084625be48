//! What was done lately: for administrators what everybody did, for others what they did themselves.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};

use super::{
    Ui, address,
    address::Target,
    display::{Moment, ShownDigest},
    fields::Fields,
    pages::PAGE_ROWS,
    response::Failure,
    sight::Sight,
    visitor::{Frame, Viewer},
};
use crate::{
    oci::{Digest, Reference, RepositoryName},
    registry::{Action, JournalEntry},
};

#[derive(Template)]
#[template(path = "activity.html")]
struct ActivityPage {
    frame: Frame,
    user: String,
    repository: String,
    action: String,
    actions: Vec<(&'static str, &'static str)>,
    rows: Vec<Row>,
    previous: Option<String>,
    next: Option<String>,
}

struct Row {
    at: Option<Moment>,
    user: Option<String>,
    address: Option<String>,
    what: &'static str,
    is_trouble: bool,
    text: Option<String>,
    href: Option<String>,
    was: Option<Link>,
    now: Option<Link>,
}

struct Link {
    digest: ShownDigest,
    href: String,
}

const ACTIONS: [(Action, &str); 7] = [
    (Action::Push, "push"),
    (Action::Untag, "untag"),
    (Action::Delete, "delete image"),
    (Action::DeleteRepository, "delete repository"),
    (Action::SignIn, "sign in"),
    (Action::SignInFailed, "failed sign-in"),
    (Action::PasswordChanged, "password changed"),
];

/// The page.
pub(super) async fn show(State(ui): State<Arc<Ui>>, viewer: Viewer, fields: Fields) -> Response {
    viewer.answer(page(&ui, &viewer, &fields).await)
}

async fn page(ui: &Ui, viewer: &Viewer, fields: &Fields) -> Result<ActivityPage, Failure> {
    let sees_all = viewer.require_admin(ui).is_ok();
    let own = viewer.frame.user.clone().unwrap_or_default();
    if !sees_all && own.is_empty() {
        return Err(Failure::Denied);
    }
    let user = if sees_all { fields.get("user").trim().to_owned() } else { own };
    let (repository, action) = (fields.get("repository").trim(), fields.get("action"));
    let wanted_action = ACTIONS.iter().find(|(known, _)| known.as_str() == action).map(|(known, _)| *known);
    let (of_user, part, sight) = (user.clone(), repository.to_owned(), Sight::of(ui, viewer));
    let wanted = move |entry: &JournalEntry| {
        let of = |name: &RepositoryName| part.is_empty() || name.as_str().contains(&part);
        (of_user.is_empty() || entry.user.as_deref() == Some(&*of_user))
            && entry.repository.as_ref().map_or(part.is_empty(), of)
            && entry.repository.as_ref().is_none_or(|name| sees_all || sight.sees(name))
            && wanted_action.is_none_or(|wanted| entry.action == wanted)
    };
    let page = fields.page();
    let (entries, more) = ui.registry.journal((page - 1) * PAGE_ROWS, PAGE_ROWS, wanted).await?;
    let link = |page: usize| {
        let page = page.to_string();
        let user = if sees_all { &*user } else { "" };
        let parameters = [("user", user), ("repository", repository), ("action", action), ("page", &*page)];
        address::with_query("/ui/activity", &parameters)
    };
    Ok(ActivityPage {
        frame: viewer.frame.clone(),
        rows: entries.iter().map(Row::new).collect(),
        previous: (page > 1).then(|| link(page - 1)),
        next: more.then(|| link(page + 1)),
        repository: repository.to_owned(),
        action: action.to_owned(),
        actions: ACTIONS.iter().map(|(action, text)| (action.as_str(), *text)).collect(),
        user,
    })
}

impl Row {
    fn new(entry: &JournalEntry) -> Self {
        let what = ACTIONS.iter().find(|(action, _)| *action == entry.action);
        let target = entry.repository.clone().map(|name| match &entry.tag {
            Some(tag) => Target::Image(name, Reference::Tag(tag.clone())),
            None => Target::Repository(name),
        });
        let link = |digest: &Option<Digest>| {
            let digest = digest.as_ref()?;
            let target = Target::Image(entry.repository.clone()?, Reference::Digest(digest.clone()));
            Some(Link { digest: ShownDigest::new(digest), href: target.path() })
        };
        // A tag that was removed has no page.
        let href =
            target.as_ref().filter(|_| entry.action == Action::Push || entry.tag.is_none()).map(Target::path);
        Self {
            at: Moment::of_milliseconds(entry.at),
            user: entry.user.clone(),
            address: entry.address.clone(),
            what: what.map_or("", |(_, text)| text),
            is_trouble: entry.action == Action::SignInFailed,
            text: target.as_ref().map(Target::text),
            href,
            was: link(&entry.was),
            now: link(&entry.now),
        }
    }
}
