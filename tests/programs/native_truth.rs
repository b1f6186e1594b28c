// SPDX-License-Identifier: Apache-2.0
// Burns CPU in functions of its own and says how much went where, as native_truth.cpp does.
// usage: native_truth SECONDS

use std::hint::black_box;
use std::time::Instant;

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

extern "C" {
    fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
}

fn clock(id: i32) -> u64 {
    let mut time = Timespec { seconds: 0, nanoseconds: 0 };
    unsafe { clock_gettime(id, &mut time) };
    time.seconds as u64 * 1_000_000_000 + time.nanoseconds as u64
}

mod work {
    use std::hint::black_box;

    #[inline(always)]
    fn mix(value: u64) -> u64 {
        (value ^ (value >> 13)).wrapping_mul(0x9e3779b97f4a7c15)
    }

    #[inline(never)]
    pub fn plain(turns: u64) -> u64 {
        let mut value = turns;
        for i in 0..turns {
            value = mix(value ^ i);
        }
        value
    }

    pub trait Shape {
        fn area(&self, turns: u64) -> u64;
    }
    pub struct Square(pub u64);
    impl Shape for Square {
        #[inline(never)]
        fn area(&self, turns: u64) -> u64 {
            let mut value = self.0;
            for i in 0..turns {
                value = (value + (i >> 3)).wrapping_mul(0xbf58476d1ce4e5b9);
            }
            value
        }
    }

    #[inline(never)]
    pub fn recursive(depth: u32, turns: u64) -> u64 {
        if depth == 0 {
            return bottom(turns);
        }
        black_box(recursive(depth - 1, turns)) + 1
    }

    #[inline(never)]
    fn bottom(turns: u64) -> u64 {
        let mut value = turns;
        for i in 0..turns {
            value = (value - (i >> 1) % 3).wrapping_mul(0x94d049bb133111eb);
        }
        value
    }
}

fn main() {
    let seconds: f64 = std::env::args().nth(1).unwrap().parse().unwrap();
    println!("ready");
    const THREAD: i32 = 3;
    const PROCESS: i32 = 2;
    let begin = Instant::now();
    let turns = 4_000_000;
    let mut spent = [0u64; 3];
    let shape: Box<dyn work::Shape> = Box::new(work::Square(3));
    while begin.elapsed().as_secs_f64() < seconds {
        let a = clock(THREAD);
        black_box(work::plain(turns));
        let b = clock(THREAD);
        black_box(black_box(&shape).area(turns));
        let c = clock(THREAD);
        black_box(work::recursive(300, turns));
        let d = clock(THREAD);
        spent[0] += b - a;
        spent[1] += c - b;
        spent[2] += d - c;
    }
    println!(
        "{{\"functions\": {{\"plain\": {}, \"area\": {}, \"recursive\": {}}}, \"process\": {}}}",
        spent[0], spent[1], spent[2], clock(PROCESS)
    );
}
