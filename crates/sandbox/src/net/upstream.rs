//! The proxy by which the host itself reaches the network, where it has no other way: an HTTP proxy that is asked to
//! CONNECT (RFC 9110, section 9.3.6). The jar neither sees nor needs it.

use model::Block;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long the proxy may take to be reached, and again to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 16 << 10;
/// Where a URL names no port.
const PORT: u16 = 80;

/// An HTTP proxy of the caller's environment.
#[derive(Clone)]
pub struct Upstream {
    host: String,
    port: u16,
    /// `Basic` credentials (RFC 7617), encoded.
    credentials: Option<String>,
    /// Names, ends of names and addresses that it is not for; `*` for all.
    except: Vec<String>,
}

impl fmt::Debug for Upstream {
    /// Without the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)
    }
}

/// Why there is no way through the proxy.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Detour {
    /// It said no.
    Refused,
    /// It cannot be reached, or said nothing that can be understood.
    Broken,
}

impl Upstream {
    /// The proxy that `https_proxy`, `all_proxy` or `http_proxy` names, as curl(1) reads them: the small letters first. Only
    /// HTTP proxies that are spoken to in the clear are known; another is as none.
    #[must_use]
    pub fn of(env: &[(OsString, OsString)]) -> Option<Upstream> {
        let value = |name: &str| {
            let found = env.iter().find(|(own, value)| own == name && !value.is_empty());
            found.and_then(|(_, value)| value.to_str())
        };
        let proxies = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "http_proxy"];
        let url = proxies.into_iter().find_map(value)?;
        let except = value("no_proxy").or_else(|| value("NO_PROXY")).unwrap_or_default();
        parse(url, except)
    }

    /// Whether the proxy is used for this host.
    pub(super) fn is_for(&self, host: &str) -> bool {
        !self.except.iter().any(|except| is_excepted(except, host))
    }

    /// A connection to the host through the proxy, which looks up the name.
    pub(super) fn connect(&self, host: &str, port: u16) -> Result<TcpStream, Detour> {
        let mut stream = self.reach().map_err(|_| Detour::Broken)?;
        let status = self.ask(&mut stream, host, port).map_err(|_| Detour::Broken)?;
        match status {
            200..300 => Ok(stream),
            300.. => Err(Detour::Refused),
            _ => Err(Detour::Broken),
        }
    }

    /// Its address is not vetted: who set the variable chose it.
    fn reach(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn ask(&self, stream: &mut TcpStream, host: &str, port: u16) -> io::Result<u16> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let own = self.credentials.as_ref().map(|own| format!("Proxy-Authorization: Basic {own}\r\n"));
        let own = own.unwrap_or_default();
        let question = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{own}\r\n");
        stream.write_all(question.as_bytes())?;
        let status = status(stream)?;
        stream.set_read_timeout(None)?;
        stream.set_write_timeout(None)?;
        Ok(status)
    }
}

/// Reads an answer to its empty line and not a byte beyond, which is the peer's.
fn status(stream: &mut impl Read) -> io::Result<u16> {
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        answer.extend(byte);
        if answer.len() > ANSWER_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    let text = String::from_utf8_lossy(&answer);
    let mut words = text.split(' ');
    let http = words.next().is_some_and(|version| version.starts_with("HTTP/1."));
    let status = words.next().and_then(|status| status.parse().ok()).filter(|_| http);
    status.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// `http://USER:PASSWORD@HOST:PORT`; the scheme may be missing.
fn parse(url: &str, except: &str) -> Option<Upstream> {
    let rest = match url.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some(_) => return None,
        None => url,
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user, place) = match authority.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, authority),
    };
    let (host, port) = match place.strip_prefix('[').and_then(|place| place.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    let port = port.filter(|port| !port.is_empty()).map_or(Some(PORT), |port| port.parse().ok())?;
    let credentials = user.map(|user| base64(&decoded(user)));
    let except = except.split([',', ' ']).map(|word| word.trim().to_ascii_lowercase());
    let except = except.filter(|word| !word.is_empty()).collect();
    (!host.is_empty()).then(|| Upstream { host: host.to_owned(), port, credentials, except })
}

fn is_excepted(except: &str, host: &str) -> bool {
    if except == "*" {
        return true;
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        let (base, prefix) = except.split_once('/').unwrap_or((except, if address.is_ipv4() { "32" } else { "128" }));
        let block = base.trim_matches(['[', ']']).parse().ok().zip(prefix.parse().ok());
        return block.is_some_and(|(base, prefix)| Block { base, prefix }.contains(address));
    }
    let end = except.trim_start_matches('*').trim_start_matches('.');
    host == end || host.strip_suffix(end).is_some_and(|rest| rest.ends_with('.'))
}

/// Undoes `%XX` (RFC 3986, section 2.1).
fn decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.first_chunk::<2>().and_then(|two| std::str::from_utf8(two).ok());
        match digits.filter(|_| *first == b'%').and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit =
        |group: u32, shift: u32| DIGITS.get((group >> shift & 63) as usize).map_or('=', |digit| char::from(*digit));
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        out.extend([digit(group, 18), digit(group, 12)]);
        out.push(if chunk.len() > 1 { digit(group, 6) } else { '=' });
        out.push(if chunk.len() > 2 { digit(group, 0) } else { '=' });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Option<Upstream> {
        Upstream::of(&pairs.iter().map(|(name, value)| (name.into(), value.into())).collect::<Vec<_>>())
    }

    #[test]
    fn the_variables_are_read_as_curl_reads_them() {
        let place = |pairs: &[(&str, &str)]| of(pairs).map(|own| (own.host, own.port, own.credentials));
        let plain = |host: &str, port| Some((host.to_owned(), port, None));
        assert_eq!(place(&[("https_proxy", "http://proxy.corp:3128/")]), plain("proxy.corp", 3128));
        assert_eq!(
            place(&[("HTTPS_PROXY", "proxy.corp:3128"), ("http_proxy", "http://other")]),
            plain("proxy.corp", 3128)
        );
        assert_eq!(place(&[("all_proxy", "http://[::1]:8080")]), plain("::1", 8080));
        assert_eq!(place(&[("http_proxy", "HTTP://proxy.corp")]), plain("proxy.corp", 80));
        let with = Some(("p".to_owned(), 1, Some("bWU6aHVudEByMg==".to_owned())));
        assert_eq!(place(&[("https_proxy", "http://me:hunt%40r2@p:1")]), with);
        for none in ["", "socks5://p:1080", "https://p:443", "http://", "http://p:x"] {
            assert_eq!(place(&[("https_proxy", none)]), None, "{none}");
        }
        assert_eq!(place(&[("HTTP_PROXY", "http://p")]), None, "a CGI program's client can set that one");
        let shown = format!("{:?}", of(&[("https_proxy", "http://me:hunter2@p:1")]).unwrap());
        assert_eq!(shown, "http://p:1");
    }

    #[test]
    fn what_it_is_not_for_is_known() {
        let own =
            of(&[("https_proxy", "http://p"), ("no_proxy", "a.example, .corp,10.0.0.0/8,[2001:db8::1],*.x.test")]);
        let own = own.unwrap();
        for host in ["a.example", "b.a.example", "x.corp", "corp", "10.1.2.3", "2001:db8::1", "y.x.test"] {
            assert!(!own.is_for(host), "{host}");
        }
        for host in ["ba.example", "example", "11.0.0.1", "2001:db8::2", "corp.example"] {
            assert!(own.is_for(host), "{host}");
        }
        assert!(!of(&[("https_proxy", "http://p"), ("NO_PROXY", "*")]).unwrap().is_for("a.example"));
    }

    #[test]
    fn base64_is_that_of_the_standard() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn an_answer_is_read_to_its_end_and_not_beyond() {
        let mut answer = &b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nSSH-2.0"[..];
        assert_eq!((status(&mut answer).unwrap(), answer), (200, &b"SSH-2.0"[..]));
        for broken in [&b"HTTP/1.1 200 OK\r\n"[..], b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 x\r\n\r\n", &[b'x'; 20_000]] {
            assert!(status(&mut &*broken).is_err());
        }
    }
}
