//! Any bytes as a file of requests, in both formats: each line is a request or an error, without a panic.
#![no_main]

use conjoint_lab::requests::Requests;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for is_json in [true, false] {
        let Ok(requests) = Requests::of(bytes, is_json) else { continue };
        let lines = bytes.split(|&byte| byte == b'\n').count();
        assert!(requests.lines.iter().all(|(number, _)| (1..=lines).contains(number)));
        for (_, request) in &requests.lines {
            let _ = request.as_ref().map(|request| request.given());
        }
    }
});
