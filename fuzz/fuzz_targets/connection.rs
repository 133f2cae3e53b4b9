//! A whole connection: any bytes, in any transport.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    plinth_fuzz::connection(data);
});
