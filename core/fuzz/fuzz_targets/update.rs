#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| farm_db_fuzz::update::run(data));
