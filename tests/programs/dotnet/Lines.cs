// SPDX-License-Identifier: Apache-2.0

// Calls itself along known lines, and computes on two lines whose shares it knows.
//
// usage: lines SECONDS [bytes]
//
// With `bytes` it loads itself once more, from its file's bytes, and runs that.
//
// Prints "ready" when it begins, and at the end one line of JSON: what the runtime itself said, now and then, of the lines
// that the methods of its stack were at ("stacks": method, file, line; innermost first), and the CPU nanoseconds of each
// of the two lines ("lines") by the kernel's clock of the thread.
using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using System.Runtime.CompilerServices;

namespace Truth;

internal static class Lines
{
    private static readonly Dictionary<int, long> Spent = [];
    private static readonly HashSet<string> Stacks = [];
    private static int calls;
    private static long sink;

    private static int Here([CallerLineNumber] int line = 0) => line;

    // By hand: a trimmed program has no serializer.
    private static string Shown(StackFrame frame) =>
        $"[\"{frame.GetMethod()?.Name}\", \"{Path.GetFileName(frame.GetFileName())}\", {frame.GetFileLineNumber()}]";

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static long Spin(int turns)
    {
        if (calls++ % 10 == 0)
        {
            Stacks.Add($"[{string.Join(", ", new StackTrace(true).GetFrames().Select(Shown))}]");
        }
        long sum = turns;
        long begin = Clock.Thread();
        for (int i = 0; i < turns; i++) { sum = (sum * 31 + i) ^ (sum >> 7); } int first = Here();
        long middle = Clock.Thread();
        for (int i = 0; i < turns * 2; i++) { sum = (sum * 37 - i) ^ (sum >> 9); } int second = Here();
        long end = Clock.Thread();
        Spent[first] = Spent.GetValueOrDefault(first) + middle - begin;
        Spent[second] = Spent.GetValueOrDefault(second) + end - middle;
        return sum;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static long Fourth<T>(T value, int turns)
    {
        long sum = value!.GetHashCode();

        sum += Spin(turns);
        return sum;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static long Third(int turns)
    {
        long sum = turns;
        sum +=
            Fourth("text",
                turns);
        return sum;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static long Second(int turns)
    {
        long sum = 0;
        foreach (int factor in new[] { 1 })
        {
            // Nothing here.
            sum += Third(turns * factor);
        }
        return sum + 1;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    internal static void Run(string time)
    {
        Console.WriteLine("ready");
        double seconds = double.Parse(time, CultureInfo.InvariantCulture);
        long begin = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(begin).TotalSeconds < seconds)
        {
            sink += Second(2_000_000);
        }
        string stacks = string.Join(", ", Stacks);
        string lines = string.Join(", ", Spent.Select(one => $"\"{one.Key}\": {one.Value}"));
        Console.WriteLine($"{{\"stacks\": [{stacks}], \"lines\": {{{lines}}}, " +
            $"\"process\": {Clock.Process()}}}");
    }
}

internal static class Start
{
    private static void Main(string[] arguments)
    {
        if (arguments.Length < 2)
        {
            Lines.Run(arguments[0]);
            return;
        }
        Assembly again = Assembly.Load(File.ReadAllBytes(Environment.GetCommandLineArgs()[0]));
        MethodInfo run = again.GetType(typeof(Lines).FullName!)!.GetMethod(nameof(Lines.Run), BindingFlags.Static | BindingFlags.NonPublic)!;
        run.Invoke(null, [arguments[0]]);
    }
}
