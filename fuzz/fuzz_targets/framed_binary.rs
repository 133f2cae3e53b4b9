//! A frame with a Binary message with any body.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    plinth_fuzz::connection(&plinth_fuzz::framed(&plinth_fuzz::message(
        data,
        plinth_fuzz::Protocol::Binary,
    )));
});
