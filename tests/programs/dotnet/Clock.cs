// SPDX-License-Identifier: Apache-2.0
using System.Runtime.InteropServices;

namespace Truth;

/// <summary>CPU time in nanoseconds by the kernel's clocks.</summary>
internal static unsafe class Clock
{
    private struct Timespec
    {
        public long Seconds;
        public long Nanoseconds;
    }

    [DllImport("libc")]
    private static extern int clock_gettime(int clock, Timespec* time);

    private static long Read(int clock)
    {
        Timespec time;
        clock_gettime(clock, &time);
        return time.Seconds * 1_000_000_000 + time.Nanoseconds;
    }

    public static long Process() => Read(2); // CLOCK_PROCESS_CPUTIME_ID

    public static long Thread() => Read(3); // CLOCK_THREAD_CPUTIME_ID
}
