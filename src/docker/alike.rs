//! Texts that resemble each other, one kept as its differences to the other. Made for JSON of one kind, where the
//! keys are the same and some values are not: both are read side by side, and where they differ the value is skipped
//! in both. Any two texts will do; the less they resemble, the less is gained.
//!
//! Differences are a row of bytes, one piece after the other:
//!
//! ```text
//!  0 WHICH          a gap
//!  1 LEN TEXT       text that the model lacks; LEN has two bytes
//!  2 FROM LEN       text that the model has; two bytes each
//!  3..=127 TEXT     as 1: LEN + 2
//!  128..=255 FROM   as 2: LEN + 127
//! ```

/// Some of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// What the model lacks.
    Own(&'a [u8]),
    /// What the model has, and where.
    #[allow(missing_docs)]
    Model { from: usize, len: usize },
    /// What somebody else knows.
    Gap(u8),
}

const GAP: u8 = 0;
const OWN: u8 = 1;
const MODEL: u8 = 2;
/// What is added to the length of short pieces.
const SHORT_OWN: usize = 2;
const SHORT_MODEL: usize = 127;

/// Appends a piece to a row.
pub fn tell(piece: Piece<'_>, row: &mut Vec<u8>) {
    match piece {
        Piece::Gap(which) => row.extend([GAP, which]),
        Piece::Own(text) => {
            for part in text.chunks(usize::from(u16::MAX)) {
                match u8::try_from(part.len() + SHORT_OWN) {
                    Ok(head) if usize::from(head) <= SHORT_MODEL => row.push(head),
                    _ => row.extend(two(OWN, part.len())),
                }
                row.extend_from_slice(part);
            }
        }
        Piece::Model { from, len } => {
            match u8::try_from(len + SHORT_MODEL) {
                Ok(head) => row.push(head),
                Err(_) => row.push(MODEL),
            }
            row.extend((from as u16).to_le_bytes());
            if len + SHORT_MODEL > usize::from(u8::MAX) {
                row.extend((len as u16).to_le_bytes());
            }
        }
    }
}

fn two(head: u8, len: usize) -> [u8; 3] {
    let [low, high] = (len as u16).to_le_bytes();
    [head, low, high]
}

/// Takes the next piece off a row.
pub fn next<'a>(row: &mut &'a [u8]) -> Option<Piece<'a>> {
    let head = *row.split_off_first()?;
    match head {
        GAP => row.split_off_first().map(|which| Piece::Gap(*which)),
        OWN => {
            let len = number(row)?;
            row.split_off(..len).map(Piece::Own)
        }
        MODEL => Some(Piece::Model { from: number(row)?, len: number(row)? }),
        _ if usize::from(head) <= SHORT_MODEL => {
            row.split_off(..usize::from(head) - SHORT_OWN).map(Piece::Own)
        }
        _ => Some(Piece::Model { from: number(row)?, len: usize::from(head) - SHORT_MODEL }),
    }
}

fn number(row: &mut &[u8]) -> Option<usize> {
    let (number, rest) = row.split_first_chunk()?;
    *row = rest;
    Some(usize::from(u16::from_le_bytes(*number)))
}

/// What stands further on in a model cannot be told.
pub const LONGEST_MODEL: usize = u16::MAX as usize;
/// Shorter pieces are not worth telling where they are.
const LEAST: usize = 8;
/// How much is looked for when the two are out of step.
const STEP: usize = 16;
/// How often that is done for one text.
const SEARCHES: usize = 16;

/// Appends the pieces of a text to a row. `reached` is how far the model is read already.
pub fn differences(text: &[u8], model: &[u8], reached: &mut usize, row: &mut Vec<u8>) {
    let model = &model[..model.len().min(LONGEST_MODEL)];
    let (mut at, mut kept, mut searches) = (0, 0, SEARCHES);
    while at < text.len() {
        let same = common(&text[at..], &model[*reached..]);
        if same >= LEAST {
            tell(Piece::Own(&text[kept..at]), row);
            tell(Piece::Model { from: *reached, len: same }, row);
            (at, *reached) = (at + same, *reached + same);
            kept = at;
            continue;
        }
        at += token(&text[at..]);
        *reached += token(&model[*reached..]);
        let next = &text[at..text.len().min(at + STEP)];
        if searches > 0 && common(next, &model[*reached..]) < next.len().min(LEAST) {
            searches -= 1;
            *reached = model.windows(STEP).position(|part| part == next).unwrap_or(*reached);
        }
    }
    tell(Piece::Own(&text[kept..]), row);
}

/// How many bytes the beginnings of two texts have in common.
fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// How long the rest of a value is, with what ends it; 0 at the end.
fn token(text: &[u8]) -> usize {
    let ends = |b: &u8| matches!(b, b'"' | b',' | b':' | b'}' | b']');
    text.iter().position(ends).map_or(text.len(), |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pieces(row: &[u8]) -> Vec<Piece<'_>> {
        let mut rest = row;
        std::iter::from_fn(|| next(&mut rest)).collect()
    }

    /// A text as it comes back from its differences, and how many bytes these take.
    fn kept(text: &[u8], model: &[u8]) -> (Vec<u8>, usize) {
        let mut row = Vec::new();
        differences(text, model, &mut 0, &mut row);
        let whole = pieces(&row).into_iter().map(|piece| match piece {
            Piece::Own(text) => text,
            Piece::Model { from, len } => &model[from..from + len],
            Piece::Gap(_) => panic!("nobody left a gap"),
        });
        (whole.collect::<Vec<_>>().concat(), row.len())
    }

    #[test]
    fn pieces_of_all_lengths() {
        for len in [1, 2, 125, 126, 127, 128, 129, 255, 256, 65_535] {
            let text = vec![b'x'; len];
            for piece in [Piece::Own(&text), Piece::Model { from: 65_534, len }, Piece::Gap(len as u8)] {
                let mut row = Vec::new();
                tell(piece, &mut row);
                tell(Piece::Gap(3), &mut row);
                assert_eq!(pieces(&row), [piece, Piece::Gap(3)]);
            }
        }
        let (mut row, long) = (Vec::new(), vec![b'x'; 100_000]);
        tell(Piece::Own(&long), &mut row);
        assert_eq!(pieces(&row), [Piece::Own(&long[..65_535]), Piece::Own(&long[65_535..])]);
        for cut in 1..row.len().min(4) {
            assert_eq!(pieces(&row[..cut]), [], "cut off after {cut}");
        }
    }

    #[test]
    fn large_ones() {
        for (text, model) in [(200_000, 10), (10, 200_000), (200_000, 200_000), (0, 0)] {
            let (text, model) = (vec![b'x'; text], vec![b'x'; model]);
            assert!(kept(&text, &model).0 == text);
        }
    }

    #[test]
    fn out_of_step() {
        let model =
            br#"{"Labels":{"a":"a long value"},"Image":"a long value","Networks":{"bridge":{"x":1}}}"#;
        let text =
            br#"{"Labels":{"more":"b","a":"a long value"},"Image":"a long value","Networks":{"bridge":{"x":1}}}"#;
        let (out, took) = kept(text, model);
        assert_eq!(out, text);
        assert!(took <= 24, "{took}");
    }

    proptest! {
        #[test]
        fn nothing_is_lost(text in "[a-c\",:{}]{0,90}", model in "[a-c\",:{}]{0,90}") {
            prop_assert_eq!(kept(text.as_bytes(), model.as_bytes()).0, text.as_bytes());
        }

        #[test]
        fn nor_where_they_resemble(
            parts in proptest::collection::vec(0usize..5, 0..12),
            others in proptest::collection::vec(0usize..5, 0..12),
        ) {
            let words =
                [r#""Image":"busybox:latest","#, r#""Id":"0123456789abcdef","#, "{}", r#""State":"running","#, r#""n":7,"#];
            let whole = |parts: &[usize]| parts.iter().map(|i| words[*i]).collect::<String>();
            let (text, model) = (whole(&parts), whole(&others));
            prop_assert_eq!(kept(text.as_bytes(), model.as_bytes()).0, text.as_bytes());
        }
    }
}
