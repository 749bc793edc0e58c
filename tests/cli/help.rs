use super::{example, program, run};

/// The entries of a help text that describe nothing, and the number of all entries.
fn undescribed(help: &str) -> (Vec<String>, usize) {
    let mut missing = Vec::new();
    let mut count = 0;
    let mut lines = help.lines().peekable();
    let mut is_entry = false;
    while let Some(line) = lines.next() {
        if line.ends_with(':') && !line.starts_with(' ') {
            is_entry = matches!(line, "Arguments:" | "Options:" | "Commands:");
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        // Deeper is a description that goes on.
        if !is_entry || line.is_empty() || indent > 6 {
            continue;
        }
        count += 1;
        let (_name, rest) = line.trim().split_once("  ").unwrap_or((line, ""));
        let next = lines.peek().copied().unwrap_or_default();
        let next_is_deeper = next.starts_with("        ");
        let text = if rest.is_empty() && next_is_deeper {
            next
        } else {
            rest
        };
        // `[default: 1]` and `[env: X]` are no descriptions.
        let text = text.split('[').next().unwrap_or_default().trim();
        if text.is_empty() {
            missing.push(line.trim().to_owned());
        }
    }
    (missing, count)
}

/// The commands that a help text lists.
fn commands(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next());
    names
        .filter(|name| *name != "help")
        .map(String::from)
        .collect()
}

#[test]
fn every_argument_is_described() {
    let mut paths = vec![String::new()];
    let mut seen = Vec::new();
    let mut entries = 0;
    while let Some(path) = paths.pop() {
        for flag in ["--help", "-h"] {
            let help = run(program(), &format!("{path} {flag}")).ok().out;
            let (missing, count) = undescribed(&help);
            assert!(missing.is_empty(), "{path} {flag}: {missing:?}\n{help}");
            entries += count;
            if flag == "--help" {
                let below = commands(&help).into_iter();
                paths.extend(below.map(|name| format!("{path} {name}").trim().to_owned()));
            }
        }
        seen.push(path);
    }
    seen.sort();
    let expected = [
        "",
        "devops",
        "devops create",
        "devops delete",
        "devops get",
        "devops list",
        "devops update",
        "djinn",
        "djinn content",
        "djinn copy",
        "djinn delete",
        "djinn digest",
        "djinn download",
        "djinn find",
        "djinn get",
        "djinn inspect",
        "djinn list",
        "djinn map",
        "djinn read",
        "djinn upload",
        "djinn wait",
        "inspect",
    ];
    let of_disk = |name: &str| ["djinn map", "djinn read"].contains(&name);
    let expected = expected.into_iter();
    let expected = expected.filter(|name| cfg!(feature = "disk") || !of_disk(name));
    assert_eq!(seen, expected.collect::<Vec<_>>());
    assert!(entries > 100, "{entries}");
}

#[test]
fn every_argument_of_the_other_programs_is_described() {
    for name in ["ci_upload", "mirror", "prune", "serve"] {
        let help = run(example(name), "--help").ok().out;
        let (missing, count) = undescribed(&help);
        assert!(missing.is_empty(), "{name}: {missing:?}\n{help}");
        assert!(count > 1, "{help}");
    }
}

#[test]
fn an_argument_without_a_description_is_noticed() {
    let help = "Usage: images\n\nArguments:\n  <ID>    \n  <FILE>  File\n\nOptions:\n      \
                --limit <N>  [default: 1]\n      --user <USER>\n          User [env: U]\n  -h, \
                --help  Print help\n";
    let (missing, count) = undescribed(help);
    assert_eq!(missing, ["<ID>", "--limit <N>  [default: 1]"]);
    assert_eq!(count, 5);
}
