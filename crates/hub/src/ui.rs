//! The pages, as `web` builds them. A hub that was built without them says so.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use daemon::http::Problem;
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "../../web/dist"]
#[allow_missing = true]
struct Pages;

/// The file at this path; at the root, the page.
pub async fn show(uri: Uri) -> Response {
    let name = match uri.path().trim_start_matches('/') {
        "" => "index.html",
        name => name,
    };
    let Some(file) = Pages::get(name) else {
        let detail = match name {
            "index.html" => "this binary was built without its pages; ./x build makes them, too",
            _ => "no such path",
        };
        return Problem::new(StatusCode::NOT_FOUND, detail).into_response();
    };
    // Their names change with their content.
    let keep = match name.starts_with("assets/") {
        true => "public, max-age=31536000, immutable",
        false => "no-cache",
    };
    ([(CONTENT_TYPE, kind(name)), (CACHE_CONTROL, keep)], file.data).into_response()
}

fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("txt") => "text/plain; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    #[tokio::test]
    async fn pages_are_kept_by_name_and_what_is_not_there_is_a_problem() {
        let of = async |path: &'static str| show(Uri::from_static(path)).await;
        let missing = of("/assets/none.js").await;
        assert_eq!(missing.status(), StatusCode::NOT_FOUND);
        let page = of("/").await;
        if Pages::get("index.html").is_none() {
            let text = to_bytes(page.into_body(), 4096).await.unwrap();
            assert!(String::from_utf8_lossy(&text).contains("./x build"));
            return;
        }
        assert_eq!(page.headers()[CACHE_CONTROL], "no-cache");
        let text = to_bytes(page.into_body(), 1 << 20).await.unwrap();
        let text = String::from_utf8_lossy(&text);
        let script = text.split('"').find(|it| it.ends_with(".js")).unwrap();
        let script = show(script.trim_start_matches('.').parse().unwrap()).await;
        assert_eq!(script.headers()[CONTENT_TYPE], "text/javascript; charset=utf-8");
        assert!(script.headers()[CACHE_CONTROL].to_str().unwrap().contains("immutable"));
    }
}
