//! The address of a server, as people write it.

/// Where a server is if nothing says otherwise.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:7070";
/// The variable that says where the server is.
pub const SERVER_VARIABLE: &str = "STOWPLAN_SERVER";

/// Reads an address with or without its scheme. Answers what is wrong with it, to follow the value in a sentence.
pub fn read_address(text: &str) -> Result<String, String> {
    let bad = |problem: &str| Err(format!("{problem}; write it as {DEFAULT_SERVER}"));
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    match reqwest::Url::parse(&format!("{scheme}://{rest}")) {
        Ok(_) if scheme != "http" => bad("is no http:// address"),
        Ok(url) if url.has_host() && url.path() == "/" && url.query().is_none() => {
            Ok(url.as_str().trim_end_matches('/').to_owned())
        }
        _ => bad("is no address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_or_without_their_scheme() {
        for text in ["127.0.0.1:7070", "http://127.0.0.1:7070", "http://127.0.0.1:7070/"] {
            assert_eq!(read_address(text).unwrap(), "http://127.0.0.1:7070");
        }
        assert_eq!(read_address("box:1").unwrap(), "http://box:1");
        assert!(read_address("https://box").unwrap_err().contains("is no http:// address"));
        assert!(read_address("").unwrap_err().contains("is no address"));
        assert!(read_address("http://box/there").unwrap_err().contains("is no address"));
    }
}
