//! Everything that the registry lists: it passes the conformance suite, alone and combined, and the documentation has it.

mod caches;
mod combinations;
mod conformance;
mod documentation;
mod parts;
mod reasons;
