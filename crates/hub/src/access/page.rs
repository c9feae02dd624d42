//! Where somebody signs in: a page without scripts.

pub const STYLE: &str = "\
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { display: grid; place-items: center; min-height: 90vh; margin: 0 }
main { width: min(26rem, 90vw) }
h1 { font-size: 1.2rem }
form, a.way { display: block; margin: 1rem 0 }
label { display: block }
input, button, a.way { box-sizing: border-box; width: 100%; padding: .5rem; font: inherit; text-align: center }
a.way { border: 1px solid; border-radius: 3px; color: inherit; text-decoration: none }
p.wrong { border-left: 3px solid #c00; padding-left: .6rem }
";

/// `to`: where to go then. `wrong`: what went wrong the last time.
pub fn sign_in(provider: bool, tokens: bool, to: &str, wrong: Option<&str>) -> String {
    let wrong = wrong.map(|it| format!("<p class=\"wrong\" role=\"alert\">{}</p>\n", escape(it)));
    let encoded: String = form_urlencoded::byte_serialize(to.as_bytes()).collect();
    let provider = provider
        .then(|| format!("<a class=\"way\" href=\"/auth/provider?to={encoded}\">Sign in</a>\n"));
    let tokens = tokens.then(|| {
        format!(
            "<form method=\"post\" action=\"/auth/token\">\n\
             <input type=\"hidden\" name=\"to\" value=\"{}\">\n\
             <label for=\"token\">Kubernetes token (<code>kubectl create token NAME</code>)</label>\n\
             <input id=\"token\" name=\"token\" type=\"password\" autocomplete=\"off\" required>\n\
             <p><button>Sign in with this token</button></p>\n</form>\n",
            escape(to)
        )
    });
    let [wrong, provider, tokens] = [wrong, provider, tokens].map(Option::unwrap_or_default);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Amphipod: sign in</title>\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<link rel=\"stylesheet\" href=\"/auth/style.css\">\n\
         <main>\n<h1>Amphipod</h1>\n{wrong}{provider}{tokens}</main>\n</html>\n"
    )
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_stays_text() {
        let page = sign_in(true, true, "/\"><script>", Some("<script>alert('x')</script>"));
        assert!(
            !page.contains("<script") && page.contains("&lt;script&gt;alert(&#39;x&#39;)"),
            "{page}"
        );
        assert!(page.contains("/auth/provider?to=%2F%22%3E%3Cscript%3E"));
        assert!(!sign_in(false, true, "/", None).contains("/auth/provider"));
        assert!(!sign_in(true, false, "/", None).contains("<form"));
    }
}
