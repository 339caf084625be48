//! Headless Chromium, driven by the WebDriver protocol.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::program;

/// The key under which WebDriver answers with an element (W3C WebDriver, section 12).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with an empty profile; it is gone when this is dropped.
pub(crate) struct Browser {
    driver: Child,
    port: u16,
    client: Client,
    session: String,
    _profile: TempDir,
}

/// Something on the page that is open now.
pub(crate) struct Element(String);

/// One line of the browser's console.
#[derive(Debug)]
pub(crate) struct ConsoleLine {
    /// `SEVERE`, `WARNING`, `INFO` or `DEBUG`.
    pub(crate) level: String,
    pub(crate) message: String,
}

impl Browser {
    /// Starts chromedriver and one window.
    pub(crate) async fn start() -> Self {
        let mut driver = program("chromedriver", "chromium-driver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let port = port_of(&mut driver);
        let profile = tempfile::tempdir().expect("a directory");
        let mut browser = Self {
            driver,
            port,
            client: Client::builder().no_proxy().build().expect("a client"),
            session: String::new(),
            _profile: profile,
        };
        let capabilities = browser.capabilities();
        let made = browser.ask(Method::POST, "session", &json!({ "capabilities": capabilities })).await;
        let id = made["sessionId"].as_str().expect("a session has an id");
        browser.session = format!("session/{id}/");
        // Elements of the next page may take a moment to be there.
        browser.post("timeouts", &json!({ "implicit": 5_000, "pageLoad": 60_000 })).await;
        browser
    }

    fn capabilities(&self) -> Value {
        let chromium = program("chromium", "chromium");
        let arguments = [
            "--headless",
            // Chromium refuses its sandbox to root, whom containers run as.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            // Chromium reads no CA file; what it trusts is not what this proves.
            "--ignore-certificate-errors",
            "--window-size=1280,900",
        ];
        let profile = format!("--user-data-dir={}", self._profile.path().display());
        let arguments: Vec<_> = arguments.iter().map(|text| (*text).to_owned()).chain([profile]).collect();
        json!({ "alwaysMatch": {
            "acceptInsecureCerts": true,
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "binary": chromium.get_program().to_string_lossy(), "args": arguments },
        }})
    }

    /// Opens an address and waits until it is loaded.
    pub(crate) async fn open(&self, url: &str) {
        self.post("url", &json!({ "url": url })).await;
    }

    /// The address that is open now.
    pub(crate) async fn url(&self) -> String {
        text_of(&self.get("url").await)
    }

    /// The title of the page.
    pub(crate) async fn title(&self) -> String {
        text_of(&self.get("title").await)
    }

    /// The first element for a CSS selector; panics with the page when there is none.
    pub(crate) async fn find(&self, selector: &str) -> Element {
        let found =
            self.call(Method::POST, "element", &json!({ "using": "css selector", "value": selector })).await;
        match found.as_ref().map(|value| value[ELEMENT].as_str()) {
            Ok(Some(id)) => Element(id.to_owned()),
            _ => panic!("no {selector} on {}:\n{}", self.url().await, self.source().await),
        }
    }

    /// How many elements there are for a CSS selector, now.
    pub(crate) async fn count(&self, selector: &str) -> usize {
        let found = self.post("elements", &json!({ "using": "css selector", "value": selector })).await;
        found.as_array().map_or(0, Vec::len)
    }

    /// What a person reads in an element.
    pub(crate) async fn text(&self, element: &Element) -> String {
        text_of(&self.get(&format!("element/{}/text", element.0)).await)
    }

    /// Clicks, and waits for the page that follows.
    pub(crate) async fn click(&self, element: &Element) {
        self.post(&format!("element/{}/click", element.0), &json!({})).await;
    }

    /// Types into a field; `\u{E007}` is the Enter key.
    pub(crate) async fn type_text(&self, element: &Element, text: &str) {
        self.post(&format!("element/{}/value", element.0), &json!({ "text": text })).await;
    }

    /// The value of an expression, evaluated on the page but outside of its content security policy.
    pub(crate) async fn evaluate(&self, expression: &str) -> Value {
        let script = format!("return ({expression});");
        self.post("execute/sync", &json!({ "script": script, "args": [] })).await
    }

    /// Writes what the window shows as a PNG.
    pub(crate) async fn screenshot(&self, file: &Path) {
        let encoded = text_of(&self.get("screenshot").await);
        let png = base64::engine::general_purpose::STANDARD.decode(encoded).expect("base64 of a picture");
        fs::create_dir_all(file.parent().expect("a file in a directory")).expect("a directory");
        fs::write(file, png).expect("a file");
    }

    /// What the console has said since the last call.
    pub(crate) async fn console(&self) -> Vec<ConsoleLine> {
        let lines = self.post("se/log", &json!({ "type": "browser" })).await;
        let lines = lines.as_array().expect("a log is a list").iter();
        lines
            .map(|line| ConsoleLine { level: text_of(&line["level"]), message: text_of(&line["message"]) })
            .collect()
    }

    async fn source(&self) -> String {
        text_of(&self.get("source").await)
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.call(Method::GET, path, &Value::Null).await;
        answer.unwrap_or_else(|error| panic!("WebDriver {path}: {error}"))
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self.call(Method::POST, path, body).await;
        answer.unwrap_or_else(|error| panic!("WebDriver {path}: {error}"))
    }

    async fn call(&self, method: Method, path: &str, body: &Value) -> Result<Value, Value> {
        let answer = self.ask(method, &format!("{}{path}", self.session), body).await;
        if answer.get("error").is_some() { Err(answer) } else { Ok(answer) }
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Value {
        let mut request =
            self.client.request(method.clone(), format!("http://127.0.0.1:{}/{path}", self.port));
        if method == Method::POST {
            request = request.json(body);
        }
        let response = request.send().await.expect("chromedriver answers");
        let mut answer: Value = response.json().await.expect("chromedriver answers in JSON");
        answer["value"].take()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Killing the driver would leave the browser behind; this ends both.
        let asked = TcpStream::connect(("127.0.0.1", self.port)).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(b"GET /shutdown HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
            stream.read(&mut [0; 64])
        });
        let deadline = Instant::now() + Duration::from_secs(10);
        while asked.is_ok() && Instant::now() < deadline {
            if matches!(self.driver.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// chromedriver says on its standard output which port the kernel gave it.
fn port_of(driver: &mut Child) -> u16 {
    let output = BufReader::new(driver.stdout.take().expect("stdout is piped"));
    let mut lines = output.lines().map_while(Result::ok);
    let port = lines
        .find_map(|line| {
            line.split("started successfully on port ").nth(1)?.trim_end_matches('.').parse().ok()
        })
        .expect("chromedriver names its port");
    // Nobody reads what it says later, and a full pipe would stop it.
    thread::spawn(move || lines.for_each(drop));
    port
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("text expected, found {value}")).to_owned()
}
