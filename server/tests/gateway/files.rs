//! The page's files: compressed, cached as their names allow, and nothing else from the disk.

use std::fs;

use crate::{home::Home, http::ask};

fn with_site() -> Home {
    let mut home = Home::without_gateway(1);
    let pkg = home.path("site").join("pkg");
    fs::create_dir_all(&pkg).unwrap();
    fs::write(pkg.join("wiber.js"), "plain").unwrap();
    fs::write(pkg.join("wiber.js.br"), "brotli").unwrap();
    fs::write(pkg.join("wiber.wasm"), "wasm").unwrap();
    fs::write(home.path("site").join("favicon.svg"), "<svg/>").unwrap();
    fs::write(home.path("secret"), "secret").unwrap();
    home.start_gateway();
    home
}

#[test]
fn files_are_served_compressed_where_a_browser_takes_it() {
    let home = with_site();
    let plain = home.get("/pkg/wiber.js");
    assert_eq!((plain.status, plain.text()), (200, "plain"));
    assert_eq!(plain.header("content-type"), Some("text/javascript"));
    let packed = ask(
        home.port,
        "GET",
        "/pkg/wiber.js",
        &[("accept-encoding", "gzip, br")],
        "",
    );
    assert_eq!(
        (packed.text(), packed.header("content-encoding")),
        ("brotli", Some("br"))
    );
    assert_eq!(packed.header("content-type"), Some("text/javascript"));
    let wasm = ask(
        home.port,
        "GET",
        "/pkg/wiber.wasm",
        &[("accept-encoding", "br")],
        "",
    );
    assert_eq!(
        (wasm.text(), wasm.header("content-type")),
        ("wasm", Some("application/wasm"))
    );
    assert_eq!(
        home.get("/favicon.svg").header("content-type"),
        Some("image/svg+xml")
    );
    assert_eq!(
        plain.header("cache-control"),
        Some("no-cache"),
        "a name without a hash"
    );
    let since = plain.header("last-modified").unwrap();
    let unchanged = ask(
        home.port,
        "GET",
        "/pkg/wiber.js",
        &[("if-modified-since", since)],
        "",
    );
    assert_eq!((unchanged.status, unchanged.text()), (304, ""));
}

#[test]
fn nothing_outside_the_site_is_served() {
    let home = with_site();
    for path in [
        "/../secret",
        "/pkg/../../secret",
        "/%2e%2e/secret",
        "/pkg/%2e%2e%2f%2e%2e%2fsecret",
        "/pkg",
        "/pkg/",
    ] {
        assert_eq!(home.get(path).status, 404, "{path}");
    }
}

#[test]
fn people_get_a_page_for_what_is_not_there() {
    let home = with_site();
    let page = ask(home.port, "GET", "/nowhere", &[("accept", "text/html")], "");
    assert_eq!(page.status, 404);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.text().starts_with("<!DOCTYPE html>"));
    assert!(page.header("content-security-policy").unwrap().contains("nonce-"));
    let page = home.get("/");
    assert_eq!(
        (page.status, page.header("cache-control")),
        (200, Some("no-store"))
    );
    assert!(page.text().contains("n1"));
}
