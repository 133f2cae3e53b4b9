//! A TTHeader with any blocks over a Compact message with any body.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    plinth_fuzz::connection(&plinth_fuzz::tt_header(
        data,
        plinth_fuzz::Protocol::Compact,
    ));
});
