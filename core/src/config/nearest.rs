//! Names as people write them: one spelling for `max_pool_size`, `maxPoolSize` and `max-pool-size`, and the known name
//! that is nearest to an unknown one.
//!
//! Not for: identifiers of the database, which are never guessed.

/// The name without case, `_`, `-` and `.`.
pub(super) fn normalise(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-' | '.')).flat_map(char::to_lowercase).collect()
}

/// The candidate with the fewest edits to `name`; the first of several.
pub(super) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = normalise(name).chars().take(64).collect();
    candidates.into_iter().min_by_key(|candidate| distance(&wanted, &normalise(candidate).chars().collect::<Vec<_>>()))
}

/// Edits between two names: insertions, deletions, replacements and swaps of neighbours.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let mut cost = (last[j] + usize::from(a != b)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                cost = cost.min(before_last[j - 1] + 1);
            }
            row.push(cost);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_are_one() {
        assert_eq!(normalise("maxPoolSize"), normalise("max_pool-size"));
    }

    #[test]
    fn the_nearest_name_is_the_one_with_the_fewest_edits() {
        let known = ["pool_size", "max_size", "busy_timeout"];
        assert_eq!(nearest("poolSzie", known), Some("pool_size"));
        assert_eq!(nearest("busytimeot", known), Some("busy_timeout"));
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn a_swap_of_neighbours_is_one_edit() {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        assert_eq!(distance(&chars("size"), &chars("szie")), 1);
        assert_eq!(distance(&chars(""), &chars("abc")), 3);
        assert_eq!(distance(&chars("kitten"), &chars("sitting")), 3);
    }
}
