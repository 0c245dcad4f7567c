//! Where a dependency counts: cargo's `cfg(…)` and triples, as far as they can be told of images.

/// Whether `condition`, a `cfg(…)` or a triple, holds where rustc builds for `target`, which is
/// `host` for this machine. `None` where that cannot be told from here.
pub fn holds(condition: &str, target: &str) -> Option<bool> {
    let condition = condition.trim();
    match condition.strip_prefix("cfg(").and_then(|rest| rest.strip_suffix(')')) {
        Some(inner) => predicate(inner, target),
        None if target == "host" => condition.ends_with("-waitless").then_some(false),
        None => Some(condition == target),
    }
}

fn predicate(text: &str, target: &str) -> Option<bool> {
    let text = text.trim();
    if let Some((name, inner)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        let each: Vec<_> = parts(inner).into_iter().map(|part| predicate(part, target)).collect();
        let known = |value: bool| each.contains(&Some(value)).then_some(value);
        let unknown = each.contains(&None);
        return match name.trim() {
            "all" => known(false).or((!unknown).then_some(true)),
            "any" => known(true).or((!unknown).then_some(false)),
            "not" => each.first().copied().flatten().map(|value| !value),
            _ => None,
        };
    }
    let is_image = target != "host";
    let Some((key, value)) = text.split_once('=') else {
        return (is_image && matches!(text, "unix" | "windows")).then_some(false);
    };
    let value = value.trim().trim_matches('"');
    match key.trim() {
        "target_os" if is_image => Some(value == "none"),
        "target_os" => (value == "none").then_some(false),
        "target_arch" if is_image => Some(target.split('-').next() == Some(value)),
        _ => None,
    }
}

/// What stands between commas that are in no brackets.
fn parts(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_u32, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_told_as_far_as_they_can_be() {
        const IMAGE: &str = "x86_64-waitless";
        for (condition, target, expected) in [
            ("cfg(target_os = \"none\")", IMAGE, Some(true)),
            ("cfg(target_os = \"none\")", "host", Some(false)),
            ("cfg(not(target_os = \"none\"))", "host", Some(true)),
            ("cfg(not(target_os = \"none\"))", IMAGE, Some(false)),
            ("cfg(all(target_arch = \"x86_64\", target_os = \"none\"))", IMAGE, Some(true)),
            ("cfg(all(target_arch = \"aarch64\", target_os = \"none\"))", IMAGE, Some(false)),
            ("cfg(any(unix, all(target_os=\"none\", windows)))", IMAGE, Some(false)),
            ("cfg(any(unix, target_os = \"none\",))", IMAGE, Some(true)),
            ("cfg(unix)", IMAGE, Some(false)),
            ("cfg(unix)", "host", None),
            ("cfg(target_os = \"linux\")", "host", None),
            ("cfg(all(unix, target_os = \"none\"))", "host", Some(false)),
            ("cfg(feature = \"x\")", IMAGE, None),
            ("cfg(not(", IMAGE, Some(false)),
            ("cfg()", IMAGE, None),
            ("x86_64-waitless", IMAGE, Some(true)),
            ("aarch64-waitless", IMAGE, Some(false)),
            ("x86_64-waitless", "host", Some(false)),
            ("x86_64-unknown-linux-gnu", "host", None),
        ] {
            assert_eq!(holds(condition, target), expected, "{condition} for {target}");
        }
    }
}
