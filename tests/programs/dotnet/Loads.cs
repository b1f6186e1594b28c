// SPDX-License-Identifier: Apache-2.0

// Burns CPU in assemblies that it loads from memory and unloads again: one behind the other, each a copy of its own
// file with another name for one type, so that what one of them leaves is soon another one's.
//
// usage: loads SECONDS
//
// Prints "ready" when it begins, and at the end one line of JSON: CPU nanoseconds of each type's method by the kernel's
// clock of the thread, of the whole process, and how many of the assemblies were gone at the end.
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Runtime.Loader;
using System.Text;

namespace Truth;

/// <summary>Called RoundNN in the copies.</summary>
public static class Round00
{
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static long Run(long nanoseconds)
    {
        long begin = Clock.Thread(), now = begin, sum = 1;
        while (now - begin < nanoseconds)
        {
            for (int i = 0; i < 20_000; i++)
            {
                sum = sum * 31 + i;
            }
            now = Clock.Thread();
        }
        return now - begin + (sum & 1);
    }
}

internal static class Loads
{
    private const int Rounds = 20;

    private static void Main(string[] arguments)
    {
        Console.WriteLine("ready");
        byte[] own = File.ReadAllBytes(typeof(Loads).Assembly.Location);
        long each = (long)(double.Parse(arguments[0], CultureInfo.InvariantCulture) * 1e9 / (Rounds + 1));
        List<string> functions = [];
        List<WeakReference> contexts = [];
        for (int round = 1; round <= Rounds; round++)
        {
            string name = $"Round{round:00}";
            functions.Add($"\"Truth.{name}.Run\": {RunIn(Renamed(own, name), name, each, contexts)}");
            for (int i = 0; i < 10 && contexts[^1].IsAlive; i++)
            {
                GC.Collect();
                GC.WaitForPendingFinalizers();
            }
        }
        Type type = System.Reflection.Assembly.Load(Renamed(own, "Round99")).GetType("Truth.Round99")!;
        functions.Add($"\"Truth.Round99.Run\": {Invoke(type, each)}");
        int unloaded = contexts.Count(context => !context.IsAlive);
        Console.WriteLine($"{{\"functions\": {{{string.Join(", ", functions)}}}, \"unloaded\": {unloaded}, \"process\": {Clock.Process()}}}");
    }

    private static byte[] Renamed(byte[] image, string name)
    {
        byte[] copy = [.. image];
        byte[] old = Encoding.UTF8.GetBytes("Round00\0");
        int at = copy.AsSpan().IndexOf(old);
        Encoding.UTF8.GetBytes(name).CopyTo(copy, at);
        return copy;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static long RunIn(byte[] image, string name, long nanoseconds, List<WeakReference> contexts)
    {
        AssemblyLoadContext context = new(name, isCollectible: true);
        contexts.Add(new WeakReference(context));
        long time = Invoke(context.LoadFromStream(new MemoryStream(image)).GetType($"Truth.{name}")!, nanoseconds);
        context.Unload();
        return time;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static long Invoke(Type type, long nanoseconds) =>
        type.GetMethod("Run")!.CreateDelegate<Func<long, long>>()(nanoseconds);
}
