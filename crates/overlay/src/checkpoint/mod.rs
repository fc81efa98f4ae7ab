//! Checkpoints of the upper layer, and the way back to them.
//!
//! A checkpoint is a counter increment. The layer is a graph of cells: a name in a directory holds an object or nothing,
//! an object has attributes and content. The first change of a cell after a checkpoint writes down what it held
//! ([`keep`]), before the change; the tree itself stays the current one, so looking up never gets slower. A rewind gives
//! the cells of one generation after the other, newest first, back what they held ([`rewind`]). Objects are told by
//! inode number, which stays theirs because whatever a checkpoint holds is never freed: it is moved aside instead.

pub(crate) mod atlas;
pub(crate) mod keep;
pub(crate) mod log;
pub(crate) mod rewind;
