//! The word that was probably meant.

/// How alike two words must be for one to be offered in the other's place.
const LIKENESS_MIN: f64 = 0.7;

/// The one of `words` that is most like `word`, if any is.
pub fn nearest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let best =
        words.into_iter().map(|other| (likeness(&word, other), other)).max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (best.0 >= LIKENESS_MIN).then_some(best.1)
}

/// One slip of the finger counts as alike, however short the word.
fn likeness(word: &str, other: &str) -> f64 {
    let other = other.to_lowercase();
    let slip = if strsim::damerau_levenshtein(word, &other) <= 1 { 1.0 } else { 0.0 };
    slip + strsim::jaro_winkler(word, &other)
}

/// Advice for an unknown `word`: the nearest of `words`, else all of them.
pub fn advice(word: &str, words: &[&str]) -> String {
    match nearest(word, words.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("it may be {}", words.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_offered_and_a_strange_one_gets_them_all() {
        let words = ["cpu", "cpu_milli", "memory", "gpu"];
        assert_eq!(advice("cpuu", &words), "did you mean cpu?");
        assert_eq!(advice("ib", &["cpu", "id"]), "did you mean id?");
        assert_eq!(advice("mem", &words), "did you mean memory?");
        assert_eq!(advice("zzz", &words), "it may be cpu, cpu_milli, memory, gpu");
    }
}
