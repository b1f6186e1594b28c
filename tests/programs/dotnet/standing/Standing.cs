// SPDX-License-Identifier: Apache-2.0

// Stands in all chains of Chains at once, a thread in each.
//
// usage: standing chains|collection
//
// Prints one line of JSON when all stand; for each thread: its id, the case's name, the native function that it must go
// through, if any, the chains that are right (as `chains` has them), and what the runtime itself says of the lines of its
// methods, innermost first, from Truth.Spin.Here on (nothing where that is not asked for). With "collection" the threads
// of a few cases compute, one more has begun to collect garbage, and waits for one that never gets to a safe point.
using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace Truth;

internal static partial class Chains
{
    public static IEnumerable<Case> All => Cases();
}

internal static unsafe class Standing
{
    private sealed record Said(int Tid, string Name, string Through, string[][] Chains, object[][] Lines);

    private static readonly string[] Computing = ["recursion", "generic type, class", "catch", "async, suspended", "dynamic method"];
    private static readonly List<Said> Threads = [];
    private static readonly object Gate = new();
    private static readonly SemaphoreSlim Stands = new(0);
    private static readonly ManualResetEventSlim Printed = new();
    private static bool collects;
    private static Case? current;
    private static int parked;
    private static long sink;

    [DllImport("libc", EntryPoint = "gettid")]
    private static extern int Tid();

    [DllImport("libc", EntryPoint = "eventfd")]
    private static extern int EventFile(uint value, int flags);

    // The runtime takes the thread for one that runs managed code meanwhile.
    [DllImport("libc", EntryPoint = "read")]
    [SuppressGCTransition]
    private static extern nint Read(int file, void* bytes, nuint size);

    private static void Main(string[] arguments)
    {
        collects = arguments[0] == "collection";
        ThreadPool.SetMinThreads(16, 16);
        Case[] cases = Chains.All.Where(one => !collects || Computing.Contains(one.Name)).ToArray();
        // Every other one is compiled with all optimisations by then.
        for (int round = 1; round <= 100; round++)
        {
            foreach (Case one in cases.Where((_, place) => place % 2 == 1))
            {
                sink += one.Run(1);
            }
            if (round % 25 == 0)
            {
                Thread.Sleep(200);
            }
        }
        Spin.Check = Park;
        foreach (Case one in cases)
        {
            current = one;
            Stand(InThread, one);
        }
        if (collects)
        {
            Stand(HoldUp, null);
            Stand(Collect, null);
        }
        Say("main", "Truth.Standing.Main");
        Console.WriteLine(JsonSerializer.Serialize(Threads));
        Printed.Set();
        Thread.Sleep(Timeout.Infinite);
    }

    private static void Stand(ParameterizedThreadStart run, Case? one)
    {
        new Thread(run) { IsBackground = true }.Start(one);
        Stands.Wait();
    }

    private static void Say(string name, string method) => Threads.Add(new(Tid(), name, "", [[method]], []));

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void InThread(object? one) => sink += ((Case)one!).Run(1);

    // Called by Spin.Here; never returns.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Park()
    {
        Case one = current!;
        string[][] chains = one.Chains
            .Select(chain => chain.Select(name => name == "Truth.Chains.Main" ? "Truth.Standing.InThread" : name).ToArray()).ToArray();
        object[][] lines = new StackTrace(1, true).GetFrames().Where(frame => frame.GetFileName() != null)
            .Select(frame => new object[] { Path.GetFileName(frame.GetFileName()!), frame.GetFileLineNumber() }).ToArray();
        Threads.Add(new(Tid(), one.Name, one.Through, chains, lines));
        int kind = collects ? 0 : parked++ % 4;
        Stands.Release();
        switch (kind)
        {
            case 0:
                Turn();
                break;
            case 1:
                Thread.Sleep(Timeout.Infinite);
                break;
            case 2:
                lock (Gate)
                {
                    Monitor.Wait(Gate);
                }
                break;
            default:
                new SemaphoreSlim(0).Wait();
                break;
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Turn()
    {
        long turns = 1;
        while (turns != 0)
        {
            turns = (turns * 31) | 1;
        }
        sink += turns;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void HoldUp(object? nothing)
    {
        ulong value = 0;
        int file = EventFile(0, 0);
        Say("hold-up", "Truth.Standing.HoldUp");
        Stands.Release();
        sink += Read(file, &value, sizeof(ulong));
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Collect(object? nothing)
    {
        Say("collection", "Truth.Standing.Collect");
        Stands.Release();
        Printed.Wait();
        Thread.Sleep(100);
        GC.Collect();
        sink++;
    }
}
