//! The frozen model as the sampler layer's teacher, and caches of its hidden states.

mod in_memory;
mod on_disk;
mod onnx;
mod teacher;

pub use in_memory::InMemory;
pub use on_disk::CachedTeacher;
pub use onnx::OnnxTeacher;
pub use teacher::Teacher;
