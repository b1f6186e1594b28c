// SPDX-License-Identifier: Apache-2.0

// A thread pool that mostly sleeps, and two threads that work.
//
// usage: threads SECONDS N
//
// N pool threads get a little to do every ten milliseconds, for which they wake, look for more, spin a while
// and sleep again. North works all the time, South a third of it.
//
// Prints "ready" when it begins, and at the end one line of JSON, CPU in nanoseconds: of each busy method by
// its thread's clock, of what the pool was given to do, what the kernel charged to all threads by their names,
// and of the whole process.
using System.Diagnostics;
using System.Globalization;
using System.Runtime.CompilerServices;

namespace Truth;

internal static class Threads
{
    private static readonly Dictionary<string, long> Spent = [];
    private static long sink;
    private static long poolSpent;
    private static long begin;
    private static double seconds;

    private static bool Over => Stopwatch.GetElapsedTime(begin).TotalSeconds >= seconds;

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static long Mix(long value, int turns)
    {
        for (int i = 0; i < turns; i++)
        {
            value = (value ^ (value >> 13)) * 0x7e3779b97f4a7c15 + i;
        }
        return value;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void North()
    {
        while (!Over)
        {
            sink += Mix(sink, 1_000_000) + 1;
        }
        Add("Truth.Threads.North");
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void South()
    {
        while (!Over)
        {
            long before = Clock.Thread();
            sink += Mix(sink, 1_000_000) + 1;
            Thread.Sleep(TimeSpan.FromMicroseconds((Clock.Thread() - before) / 500));
        }
        Add("Truth.Threads.South");
    }

    private static void Add(string name)
    {
        lock (Spent)
        {
            Spent[name] = Clock.Thread();
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Item(object? done)
    {
        long before = Clock.Thread();
        sink += Mix(sink, 5_000) + 1;
        Interlocked.Add(ref poolSpent, Clock.Thread() - before);
        ((CountdownEvent)done!).Signal();
    }

    private static void Main(string[] arguments)
    {
        Console.WriteLine("ready");
        seconds = double.Parse(arguments[0], CultureInfo.InvariantCulture);
        int count = int.Parse(arguments[1], CultureInfo.InvariantCulture);
        ThreadPool.SetMinThreads(count, 1);
        begin = Stopwatch.GetTimestamp();
        Start(count);
        Thread[] busy = [new(North) { Name = "north" }, new(South) { Name = "south" }];
        foreach (Thread thread in busy)
        {
            thread.Start();
        }
        while (!Over)
        {
            using var done = new CountdownEvent(4);
            for (int i = 0; i < 4; i++)
            {
                ThreadPool.QueueUserWorkItem(Item, done);
            }
            Thread.Sleep(10);
            done.Wait();
        }
        foreach (Thread thread in busy)
        {
            thread.Join();
        }
        // The kernel forgets a thread with its end: north and south are not among them any more.
        string functions = string.Join(", ", Spent.Select(pair => $"\"{pair.Key}\": {pair.Value}"));
        string threads = string.Join(", ", Charged().Select(pair => $"\"{pair.Key}\": {pair.Value}"));
        Console.WriteLine($"{{\"functions\": {{{functions}}}, \"threads\": {{{threads}}}, \"items\": {poolSpent}, " +
            $"\"pool\": {ThreadPool.ThreadCount}, \"process\": {Clock.Process()}}}");
    }

    // All pool threads at once: each waits for the last.
    private static void Start(int count)
    {
        var all = new Barrier(count + 1);
        for (int i = 0; i < count; i++)
        {
            ThreadPool.QueueUserWorkItem(_ => all.SignalAndWait());
        }
        all.SignalAndWait();
    }

    private static Dictionary<string, long> Charged()
    {
        var charged = new Dictionary<string, long>();
        foreach (string task in Directory.GetDirectories("/proc/self/task"))
        {
            try
            {
                string name = File.ReadAllText(task + "/comm").TrimEnd();
                string time = File.ReadAllText(task + "/schedstat").Split(' ')[0];
                charged[name] = charged.GetValueOrDefault(name) + long.Parse(time, CultureInfo.InvariantCulture);
            }
            catch (IOException)
            {
                // Ended meanwhile.
            }
        }
        return charged;
    }
}
