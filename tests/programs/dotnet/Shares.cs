// SPDX-License-Identifier: Apache-2.0

// Burns CPU in methods of its own for a while and says how much went where.
//
// usage: shares SECONDS
//
// Prints "ready" when it begins, and at the end one line of JSON: CPU nanoseconds of each method (with all
// that it calls) by the kernel's clock of the thread, how many turns each has made, and CPU of the whole process.
// Methods are called in slices of some milliseconds with the clock read around them, so that system calls draw few
// of the stops.
using System.Diagnostics;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Truth;

internal interface IShape
{
    long Draw(int turns);
}

internal sealed class Square : IShape
{
    [MethodImpl(MethodImplOptions.NoInlining)]
    public long Draw(int turns)
    {
        double area = 0;
        for (int i = 0; i < turns * 30; i++)
        {
            area += Math.Sqrt(i + area);
        }
        return (long)area;
    }
}

internal abstract class Curve : IShape
{
    public abstract long Draw(int turns);
}

internal sealed class Circle : Curve
{
    [MethodImpl(MethodImplOptions.NoInlining)]
    public override long Draw(int turns)
    {
        ulong sum = 1;
        for (int i = 0; i < turns * 30; i++)
        {
            sum = (sum ^ (sum >> 13)) * 0x9e3779b97f4a7c15 + (ulong)i;
        }
        return (long)sum;
    }
}

internal sealed class ByLastDigit : IComparer<int>
{
    public int Compare(int x, int y) => (x % 1000).CompareTo(y % 1000);
}

internal sealed class Node(Node? next, int value)
{
    public readonly Node? Next = next;
    public readonly int Value = value;
}

internal static class Work
{
    private static readonly string[] Words = ["alpha", "beta", "gamma", "delta", "epsilon"];
    private static readonly long[] Numbers = [3, 1, 4, 1, 5, 9, 2, 6];
    private static readonly Regex Assignment = new("(?<name>[a-z]+)\\s*=\\s*(?<value>[0-9]+)", RegexOptions.Compiled);
    private static readonly byte[] Document =
        Encoding.UTF8.GetBytes("{\"name\": \"first\", \"values\": [1, 2, 3, 4.5], \"inner\": {\"deep\": [true, null, \"text\"]}}");
    private static readonly Node?[] Kept = new Node?[64];

    // One machine code for each struct, one for all reference types.
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static long Count<T>(int turns, T[] items)
    {
        long sum = 0;
        for (int i = 0; i < turns * 8; i++)
        {
            sum += EqualityComparer<T>.Default.Equals(items[i % items.Length], items[(i + 3) % items.Length]) ? i : 1;
        }
        return sum;
    }

    public static long CountNumbers(int turns) => Count(turns, Numbers);

    public static long CountWords(int turns) => Count(turns, Words);

    public static Func<int, long> MakeLambda(int step) => turns =>
    {
        long sum = 0;
        for (int i = 0; i < turns * 20; i += step)
        {
            sum = sum * 31 ^ i;
        }
        return sum;
    };

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static long Text(int turns)
    {
        var text = new StringBuilder();
        for (int i = 0; i < turns; i++)
        {
            text.Append(Words[i % Words.Length]).Append('=').Append(i.ToString(CultureInfo.InvariantCulture)).Append(';');
            if (text.Length > 1000)
            {
                text.Replace("beta", "BETA").Clear();
            }
        }
        return text.ToString().Split(';').Length;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static long Sort(int turns)
    {
        var items = new int[turns];
        for (int i = 0; i < items.Length; i++)
        {
            items[i] = i * 7919 % 104729;
        }
        Array.Sort(items, new ByLastDigit());
        return items[turns / 2];
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static long Allocate(int turns)
    {
        long sum = 0;
        for (int i = 0; i < turns; i++)
        {
            Node? chain = null;
            for (int length = 0; length < 20; length++)
            {
                chain = new Node(chain, length);
            }
            Kept[i % Kept.Length] = chain;
            sum += chain!.Value;
        }
        return sum;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static long Json(int turns)
    {
        long sum = 0;
        for (int i = 0; i < turns / 4; i++)
        {
            using JsonDocument document = JsonDocument.Parse(Document);
            foreach (JsonElement value in document.RootElement.GetProperty("values").EnumerateArray())
            {
                sum += (long)value.GetDouble();
            }
        }
        return sum;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static long Match(int turns)
    {
        long sum = 0;
        for (int i = 0; i < turns / 4; i++)
        {
            sum += Assignment.Matches("first = 1, second = 22; third=333 and no more").Count;
        }
        return sum;
    }
}

internal sealed class Part(string name, double share, Func<int, long> run)
{
    private const double Round = 29_000_000; // ns of CPU; no multiple of any sampling period
    private double turns_ = 100;

    public string Name { get; } = name;

    public long Spent { get; private set; }

    public long Turns { get; private set; }

    public long Run()
    {
        long begin = Clock.Thread();
        long result = run((int)turns_);
        long time = Clock.Thread() - begin;
        Spent += time;
        Turns += (int)turns_;
        // Compiled anew it is faster; a pause makes it look slower.
        turns_ *= Math.Clamp(share * Round / Math.Max(time, 1), 0.5, 2);
        turns_ = Math.Clamp(turns_, 10, 10_000_000);
        return result;
    }
}

internal static class Shares
{
    private static long sink;

    private static void Main(string[] arguments)
    {
        Console.WriteLine("ready");
        RuntimeHelpers.RunClassConstructor(typeof(Work).TypeHandle); // compiles a regular expression, which is nobody's share
        Part[] parts =
        [
            new("Truth.Work.Count<Int64>", 0.06, Work.CountNumbers),
            new("Truth.Work.Count<__Canon>", 0.08, Work.CountWords),
            new("Truth.Square.Draw", 0.10, Draw(new Square())),
            new("Truth.Circle.Draw", 0.06, Draw(new Circle())),
            new("Truth.Work.MakeLambda (lambda)", 0.10, Work.MakeLambda(1)),
            new("Truth.Work.Text", 0.12, Work.Text),
            new("Truth.Work.Sort", 0.14, Work.Sort),
            new("Truth.Work.Allocate", 0.14, Work.Allocate),
            new("Truth.Work.Json", 0.12, Work.Json),
            new("Truth.Work.Match", 0.08, Work.Match),
        ];
        long begin = Stopwatch.GetTimestamp();
        double seconds = double.Parse(arguments[0], CultureInfo.InvariantCulture);
        while (Stopwatch.GetElapsedTime(begin).TotalSeconds < seconds)
        {
            foreach (Part part in parts)
            {
                sink += part.Run();
            }
        }
        string functions = string.Join(", ", parts.Select(part => $"\"{part.Name}\": {part.Spent}"));
        string turns = string.Join(", ", parts.Select(part => $"\"{part.Name}\": {part.Turns}"));
        int collections = GC.CollectionCount(0);
        Console.WriteLine($"{{\"functions\": {{{functions}}}, \"turns\": {{{turns}}}, " +
            $"\"collections\": {collections}, \"pause\": {(long)GC.GetTotalPauseDuration().TotalNanoseconds}, \"process\": {Clock.Process()}}}");
    }

    private static Func<int, long> Draw(IShape shape) => turns => shape.Draw(turns);
}
