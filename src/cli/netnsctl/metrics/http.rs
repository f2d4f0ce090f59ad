//! Answers one HTTP request on a connection that systemd has accepted.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;

use super::exposition::MetricsFormat;
use crate::sys::log;

/// The time for a client to send its request, and to receive each part of the answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum size of a request, in bytes. A request of Prometheus has a few hundred.
const REQUEST_MAX: usize = 8 << 10;

/// Answers the request with `metrics`, in the format that the client accepts.
///
/// # Errors
/// The client closes the connection, or sends no request in time.
pub fn answer(
    socket: BorrowedFd,
    metrics: impl FnOnce(MetricsFormat) -> Result<String>,
) -> Result<()> {
    let timeout = TimeVal::new(TIMEOUT.as_secs() as i64, 0);
    setsockopt(&socket, sockopt::ReceiveTimeout, &timeout)
        .and_then(|()| setsockopt(&socket, sockopt::SendTimeout, &timeout))
        .context("standard input is not a socket")?;
    let owned = socket.try_clone_to_owned().context("using the socket")?;
    let mut stream = File::from(owned);
    let request = read(&mut stream).context("reading the request")?;
    let response = respond(&request, metrics);
    stream
        .write_all(response.as_bytes())
        .context("answering the request")
}

/// Reads up to the empty line.
fn read(stream: &mut impl Read) -> Result<String> {
    let end = Instant::now() + TIMEOUT;
    let (mut request, mut part) = (Vec::new(), [0; 1024]);
    while request.len() < REQUEST_MAX && Instant::now() < end {
        let length = stream.read(&mut part)?;
        request.extend(&part[..length]);
        if length == 0 || request.windows(4).any(|four| four == b"\r\n\r\n") {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&request).into_owned())
}

fn respond(request: &str, metrics: impl FnOnce(MetricsFormat) -> Result<String>) -> String {
    let mut lines = request.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next());
    let path = target.map(|target| target.split('?').next().unwrap_or_default());
    let complete =
        request.contains("\r\n\r\n") && words.next().is_some_and(|v| v.starts_with("HTTP/1."));
    if !complete {
        return plain("400 Bad Request", "not an HTTP request\n");
    }
    if !["GET", "HEAD"].contains(&method) {
        return plain("405 Method Not Allowed", "only GET and HEAD are allowed\n");
    }
    if path != Some("/metrics") {
        return plain("404 Not Found", "the metrics are at /metrics\n");
    }
    let openmetrics = lines
        .filter_map(|line| line.split_once(':'))
        .any(|(name, value)| {
            name.eq_ignore_ascii_case("accept") && value.contains("application/openmetrics-text")
        });
    let (format, content_type) = match openmetrics {
        true => (
            MetricsFormat::OpenMetrics,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
        false => (
            MetricsFormat::Prometheus,
            "text/plain; version=0.0.4; charset=utf-8",
        ),
    };
    match metrics(format) {
        Ok(body) => with_body("200 OK", content_type, &body, method == "HEAD"),
        Err(error) => {
            log::error(&format!("{error:#}"));
            plain("500 Internal Server Error", "see the journal\n")
        }
    }
}

fn plain(status: &str, body: &str) -> String {
    with_body(status, "text/plain; charset=utf-8", body, false)
}

fn with_body(status: &str, content_type: &str, body: &str, head: bool) -> String {
    let length = body.len();
    let body = if head { "" } else { body };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(request: &str) -> String {
        let response = respond(request, |format| Ok(format!("{format:?}")));
        response.replace("\r\n", "\n")
    }

    #[test]
    fn the_format_is_what_the_client_accepts() {
        let response = status(
            "GET /metrics?a=b HTTP/1.1\r\nHost: a\r\nACCEPT: text/plain, application/openmetrics-text;q=0.5\r\n\r\n",
        );
        assert!(
            response.starts_with("HTTP/1.1 200 OK\nContent-Type: application/openmetrics-text;")
        );
        assert!(response.ends_with("Content-Length: 11\nConnection: close\n\nOpenMetrics"));
        let response = status("HEAD /metrics HTTP/1.0\r\n\r\n");
        assert!(
            response.ends_with("Content-Length: 10\nConnection: close\n\n"),
            "{response}"
        );
    }

    #[test]
    fn other_requests_are_refused() {
        for (request, code) in [
            ("", "400"),
            ("\r\n\r\n", "400"),
            ("GET /metrics\r\n\r\n", "400"),
            ("GET /metrics HTTP/1.1\r\nHost: a", "400"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
            ("GET / HTTP/1.1\r\n\r\n", "404"),
            ("GET /metrics/.. HTTP/1.1\r\n\r\n", "404"),
        ] {
            assert!(
                status(request).starts_with(&format!("HTTP/1.1 {code} ")),
                "{request}"
            );
        }
    }
}
