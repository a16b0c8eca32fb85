#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| farm_db_fuzz::sort::run(data));
