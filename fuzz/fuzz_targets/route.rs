//! Any method and path: refused, or a route that names only what stood in the path.
#![no_main]

use http::Method;
use libfuzzer_sys::fuzz_target;
use pakhuis::api::Route;

fuzz_target!(|input: (u8, &str)| {
    let methods = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let (choice, rest) = input;
    let path = format!("/v2{rest}");
    let Ok(route) = Route::parse(&methods[usize::from(choice) % methods.len()], &path) else { return };
    assert!(!path.contains(['%', '\0', ' ']) && !path.contains("//") && !path.contains("/../"));
    if let Some((_, Some(repository))) = route.required_access() {
        assert!(path.starts_with(&format!("/v2/{repository}/")));
    }
});
