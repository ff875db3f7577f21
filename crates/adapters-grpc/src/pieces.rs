//! Content as it comes in parts and chunks, joined back together.

use std::mem;

use bytes::Bytes;
use prost::Message as _;
use tutti_a2a::v1::{self, part::Content};
use tutti_core::limits::{MAX_MESSAGE_BYTES, MAX_VALUE_BYTES};
use tutti_core::ports::agent::AgentError;

use crate::fault::broken;

/// Most pieces of one message or artifact. A piece costs memory beyond its bytes, and empty ones have none.
const MAX_PIECES: usize = 10_000;

/// The content of a message or an artifact.
///
/// Neighbouring parts of the same kind (text or bytes), media type and file name are one piece: A2A streams a long
/// text or file as appended parts, and a snapshot of the task no longer tells chunks from parts. A part that names
/// neither media type nor file name goes on with what stands before it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pieces {
    list: Vec<Piece>,
    bytes: usize,
    overhead: usize,
}

/// One text, file, link or value.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// The file name, if told.
    pub filename: String,
    /// The media type, if told.
    pub media_type: String,
    /// What it is.
    pub body: Body,
}

/// The kinds of content.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Text.
    Text(String),
    /// Bytes.
    Raw(Vec<u8>),
    /// A link to content elsewhere.
    Url(String),
    /// A value.
    Data(prost_types::Value),
}

impl Pieces {
    /// The content of some parts.
    ///
    /// # Errors
    /// As [`extend`](Self::extend).
    pub fn of(parts: Vec<v1::Part>) -> Result<Self, AgentError> {
        let mut pieces = Self::default();
        pieces.extend(parts)?;
        Ok(pieces)
    }

    /// Adds parts at the end.
    ///
    /// # Errors
    /// `InvalidAnswer` when the whole becomes larger than one value may be.
    pub fn extend(&mut self, parts: Vec<v1::Part>) -> Result<(), AgentError> {
        for part in parts {
            self.push(part)?;
        }
        Ok(())
    }

    /// The pieces in order.
    pub fn into_list(self) -> Vec<Piece> {
        self.list
    }

    /// Size of the content in bytes; of values, as encoded on the wire.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Memory that the pieces take beside their content, their names included, in bytes.
    pub const fn overhead(&self) -> usize {
        self.overhead
    }

    /// The text pieces, joined.
    pub fn text(&self) -> String {
        let texts = self.list.iter().filter_map(|piece| match &piece.body {
            Body::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    fn push(&mut self, part: v1::Part) -> Result<(), AgentError> {
        // A kind of content that is newer than this version; the rest may still be of use.
        let Some(content) = part.content else { return Ok(()) };
        named(&part.filename)?;
        named(&part.media_type)?;
        self.bytes += match &content {
            Content::Text(text) => text.len(),
            Content::Raw(bytes) => bytes.len(),
            Content::Url(url) => url.len(),
            Content::Data(value) => value.encoded_len(),
        };
        if self.bytes > MAX_VALUE_BYTES {
            return Err(broken(format!("more than {MAX_VALUE_BYTES} bytes in one message or artifact")));
        }
        let goes_on = self.list.last().is_some_and(|last| last.accepts(&part.filename, &part.media_type));
        match (self.list.last_mut().map(|last| &mut last.body), content) {
            (Some(Body::Text(whole)), Content::Text(text)) if goes_on => whole.push_str(&text),
            (Some(Body::Raw(whole)), Content::Raw(bytes)) if goes_on => whole.extend_from_slice(&bytes),
            (_, content) => {
                if self.list.len() == MAX_PIECES {
                    return Err(broken(format!("more than {MAX_PIECES} parts in one message or artifact")));
                }
                self.overhead += size_of::<Piece>() + part.filename.len() + part.media_type.len();
                let body = Body::of(content);
                self.list.push(Piece { filename: part.filename, media_type: part.media_type, body });
            }
        }
        Ok(())
    }
}

/// Checks an id or a name: it is kept, and told to watchers.
///
/// # Errors
/// `InvalidAnswer` if it is too long to be one.
pub fn named(name: &str) -> Result<(), AgentError> {
    if name.len() > MAX_MESSAGE_BYTES {
        return Err(broken(format!("an id or a name of {} bytes, more than {MAX_MESSAGE_BYTES}", name.len())));
    }
    Ok(())
}

impl Piece {
    fn accepts(&self, filename: &str, media_type: &str) -> bool {
        (filename.is_empty() || filename == self.filename) && (media_type.is_empty() || media_type == self.media_type)
    }
}

impl Body {
    fn of(content: Content) -> Self {
        match content {
            Content::Text(text) => Self::Text(text),
            Content::Raw(bytes) => Self::Raw(bytes.into()),
            Content::Url(url) => Self::Url(url),
            Content::Data(value) => Self::Data(value),
        }
    }

    /// Takes the bytes of anything but a value.
    pub fn take_bytes(&mut self) -> Bytes {
        match self {
            Self::Text(text) | Self::Url(text) => mem::take(text).into(),
            Self::Raw(bytes) => mem::take(bytes).into(),
            Self::Data(_) => Bytes::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(content: Content, media_type: &str) -> v1::Part {
        v1::Part { content: Some(content), media_type: media_type.to_owned(), ..Default::default() }
    }

    fn text(text: &str, media_type: &str) -> v1::Part {
        part(Content::Text(text.to_owned()), media_type)
    }

    #[test]
    fn chunks_are_joined_and_other_things_are_not() {
        let pieces = Pieces::of(vec![
            text("a", "text/plain"),
            text("b", "text/plain"),
            text("c", ""),
            text("# d", "text/markdown"),
            part(Content::Raw(Bytes::from_static(b"x")), ""),
            part(Content::Raw(Bytes::from_static(b"y")), ""),
            part(Content::Url("u".to_owned()), ""),
            part(Content::Url("v".to_owned()), ""),
        ])
        .unwrap();
        assert_eq!((pieces.bytes(), pieces.text().as_str()), (10, "abc# d"));
        let bodies: Vec<_> = pieces.into_list().into_iter().map(|piece| piece.body).collect();
        assert_eq!(
            bodies,
            [
                Body::Text("abc".to_owned()),
                Body::Text("# d".to_owned()),
                Body::Raw(b"xy".to_vec()),
                Body::Url("u".to_owned()),
                Body::Url("v".to_owned())
            ]
        );
    }

    #[test]
    fn chunks_give_the_same_however_they_were_cut() {
        let parts = vec![text("a", "t"), text("b", "t"), text("c", "u"), text("d", "u")];
        let whole = Pieces::of(parts.clone()).unwrap();
        for cut in 0..=parts.len() {
            let mut pieces = Pieces::of(parts[..cut].to_vec()).unwrap();
            pieces.extend(parts[cut..].to_vec()).unwrap();
            assert_eq!(pieces, whole);
        }
    }

    #[test]
    fn a_part_of_an_unknown_kind_is_left_out() {
        assert_eq!(Pieces::of(vec![v1::Part::default()]).unwrap(), Pieces::default());
    }

    #[test]
    fn the_whole_is_capped_not_the_chunk() {
        let half = || part(Content::Raw(vec![0; MAX_VALUE_BYTES / 2].into()), "");
        let mut pieces = Pieces::of(vec![half(), half()]).unwrap();
        assert!(pieces.extend(vec![text("", "")]).is_ok());
        assert!(pieces.extend(vec![text("x", "")]).is_err());
        let empty = || part(Content::Url(String::new()), "");
        assert!(Pieces::of(std::iter::repeat_with(empty).take(MAX_PIECES + 1).collect()).is_err());
    }
}
