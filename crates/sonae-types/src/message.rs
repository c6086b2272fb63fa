//! Text for people as a key with values; `sonae-text` renders it in the reader's language at the edge.

/// The key of a message, in the form `area.object.event`. Every key stands in both catalogues of `sonae-text`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageKey(&'static str);

impl MessageKey {
    /// The key with this text.
    #[must_use]
    pub const fn new(text: &'static str) -> Self {
        Self(text)
    }

    /// The text of the key.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

/// A message key with the values that its text names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Which text.
    pub key: MessageKey,
    /// Values by field name, in the order they were given.
    pub fields: Vec<(&'static str, String)>,
}

impl Message {
    /// The message without values.
    #[must_use]
    pub const fn new(key: MessageKey) -> Self {
        Self { key, fields: Vec::new() }
    }

    /// The message with one value more.
    #[must_use]
    pub fn with(mut self, field: &'static str, value: impl ToString) -> Self {
        self.fields.push((field, value.to_string()));
        self
    }
}
