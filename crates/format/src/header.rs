//! The header of a `.safetensors` file, read and checked without reading the weights.
//!
//! Layout: a little-endian u64 n, n bytes of JSON, then the tensors back to back.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use safetensors::tensor::Metadata;

use crate::error::FormatError;

/// Bytes before the JSON.
const PREFIX: u64 = 8;

/// The format's limit for the JSON, in bytes.
const MAX_HEADER: u64 = 100_000_000;

/// A checked header: offsets are contiguous, match shapes and types, and end at the end of the file.
#[derive(Debug)]
pub struct Header {
    pub metadata: Metadata,
    /// Offset of the first tensor in the file, in bytes.
    pub data: u64,
}

impl Header {
    /// Reads the header of a file.
    pub fn read(path: &Path) -> Result<Self, FormatError> {
        let mut file = File::open(path).map_err(FormatError::io("read", path))?;
        let length = file.seek(SeekFrom::End(0)).map_err(FormatError::io("read", path))?;
        file.rewind().map_err(FormatError::io("read", path))?;
        Self::parse(path, file, length)
    }

    /// Reads the header from the start of `length` bytes.
    fn parse(path: &Path, mut bytes: impl Read, length: u64) -> Result<Self, FormatError> {
        let invalid = |reason: String| FormatError::Header { path: path.into(), reason };
        if length < PREFIX {
            return Err(invalid(format!("the file has {length} bytes, too few for a header")));
        }
        let mut prefix = [0; PREFIX as usize];
        bytes.read_exact(&mut prefix).map_err(FormatError::io("read", path))?;
        let size = u64::from_le_bytes(prefix);
        if size > MAX_HEADER {
            return Err(invalid(format!(
                "its length is {size} bytes, more than the format's {MAX_HEADER}"
            )));
        }
        let data = PREFIX + size;
        if data > length {
            return Err(FormatError::FileLength { path: path.into(), expected: data, got: length });
        }
        let mut json = Vec::new();
        bytes.take(size).read_to_end(&mut json).map_err(FormatError::io("read", path))?;
        let json = str::from_utf8(&json).map_err(|error| invalid(error.to_string()))?;
        let metadata: Metadata =
            serde_json::from_str(json).map_err(|error| invalid(error.to_string()))?;
        let expected = data.saturating_add(metadata.data_len() as u64);
        if expected != length {
            return Err(FormatError::FileLength { path: path.into(), expected, got: length });
        }
        Ok(Self { metadata, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    /// A file with this header and this many bytes after it.
    fn file(json: &[u8], data: usize) -> Vec<u8> {
        [&(json.len() as u64).to_le_bytes(), json, &vec![0; data]].concat()
    }

    fn parse(bytes: &[u8]) -> Result<Header, FormatError> {
        Header::parse(Path::new("x.safetensors"), bytes, bytes.len() as u64)
    }

    const TWO: &[u8] = br#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
                            "b":{"dtype":"BF16","shape":[1,3],"data_offsets":[8,14]}}"#;

    #[test]
    fn a_valid_header_has_types_shapes_and_the_start_of_the_data() {
        let header = parse(&file(TWO, 14)).unwrap();
        assert_eq!(header.data, 8 + TWO.len() as u64);
        assert_eq!(header.metadata.info("b").unwrap().shape, [1, 3]);
        assert_eq!(header.metadata.info("b").unwrap().data_offsets, (8, 14));
    }

    #[test]
    fn a_length_other_than_the_header_implies_is_an_error() {
        for data in (0..14).chain(15..20) {
            let error = parse(&file(TWO, data)).unwrap_err();
            assert!(matches!(error, FormatError::FileLength { .. }), "{error}");
        }
    }

    #[test]
    fn a_truncated_header_is_an_error() {
        let whole = file(TWO, 14);
        for cut in 0..8 + TWO.len() {
            assert!(parse(&whole[..cut]).is_err());
        }
        let huge_length = u64::MAX.to_le_bytes();
        assert!(parse(&huge_length).unwrap_err().to_string().contains("more than the format's"));
    }

    #[test]
    fn invalid_headers_are_reported_with_their_reason() {
        let cases: [(&[u8], &str); 6] = [
            (b"\xff\xfe", "utf-8"),
            (b"{\"a\":", "EOF"),
            // Overlapping, with a gap, of another size than the shape's, of an unknown type.
            (
                br#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
                 "b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
                "offset",
            ),
            (br#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#, "offset"),
            (br#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, "shape"),
            (br#"{"a":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}}"#, "F99"),
        ];
        for (json, reason) in cases {
            let message = parse(&file(json, 12)).unwrap_err().to_string();
            assert!(message.contains(reason), "{reason}: {message}");
        }
    }

    fn fixed_seed() -> ProptestConfig {
        ProptestConfig { rng_seed: RngSeed::Fixed(7), cases: 1000, ..ProptestConfig::default() }
    }

    proptest! {
        #![proptest_config(fixed_seed())]

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn a_changed_byte_never_panics(at in 0..TWO.len() + 22, to in any::<u8>()) {
            let mut bytes = file(TWO, 14);
            bytes[at] = to;
            if let Ok(header) = parse(&bytes) {
                let end = header.data + header.metadata.data_len() as u64;
                prop_assert_eq!(end, bytes.len() as u64);
            }
        }
    }
}
