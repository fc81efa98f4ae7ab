//! A hermetic test world.
