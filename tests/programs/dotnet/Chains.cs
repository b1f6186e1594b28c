// SPDX-License-Identifier: Apache-2.0

// Calls one method through chains that are hard to walk, and says what they are.
//
// usage: chains SECONDS [check]
//
// Prints "ready" when it begins, and at the end one line of JSON. For each case: its name, the chains of the
// program's own methods that are right, each from the outermost (or a thread's first) to Truth.Spin.Here, as
// the source calls them; whether they begin in Main or in another thread; a native function that must lie in
// between, if any; and the CPU nanoseconds spent in Truth.Spin.Here. The method that calls Truth.Spin.Here
// belongs to one case alone. There is more than one right chain where the compiler decides: the handler of a
// try statement is a function of its own ("funclet") that calls itself by the method's name.
// With "check" it compares them with the runtime's own stack traces and says what differs (status 1).
using System.Diagnostics;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text.Json;

namespace Truth;

/// <summary>The leaf of all chains.</summary>
internal static class Spin
{
    public static long Spent;
    public static Action? Check;

    // Never 0.
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static long Here(long nanoseconds)
    {
        Check?.Invoke();
        long begin = Clock.Thread();
        long spent;
        ulong value = 1;
        do
        {
            for (int i = 0; i < 50_000; i++)
            {
                value = (value ^ (value >> 13)) * 0x9e3779b97f4a7c15;
            }
            spent = Clock.Thread() - begin;
        }
        while (spent < nanoseconds);
        Spent += spent;
        return (long)(value | 1);
    }
}

internal sealed class Case(string name, Func<long, long> run, params string[] chains)
{
    public string Name { get; } = name;

    public Func<long, long> Run { get; } = run;

    public long Spent { get; set; }

    /// <summary>A regular expression for a function of a native library on the way, or nothing.</summary>
    public string Through { get; init; } = "";

    /// <summary>Begins in Main, not in another thread.</summary>
    public bool FromMain { get; init; } = true;

    public string[][] Chains => chains.Select(Whole).ToArray();

    // Names without a dot are methods of Chains.
    private string[] Whole(string chain)
    {
        IEnumerable<string> names = chain.Split(" / ").Select(name => name.StartsWith('+') ? name[1..] : $"Truth.Chains.{name}");
        string[] main = FromMain ? ["Truth.Chains.Main"] : [];
        return [.. main, .. names, "Truth.Spin.Here"];
    }
}

internal static partial class Chains
{
    private const MethodImplOptions Keep = MethodImplOptions.NoInlining;
    // Compiled once, with all optimisations, and not ahead of time: so tail calls are made from the first call on.
    private const MethodImplOptions Optimized = MethodImplOptions.AggressiveOptimization;

    private static long sink;

    private static IEnumerable<Case> Cases()
    {
        yield return new("static constructor", StaticConstructor, "StaticConstructor / +Truth.Initialized..cctor");
        yield return new("one-call wrappers", Wrappers, "Wrappers / Wrapper1 / Wrapper2 / Wrapper3");
        yield return new("recursion", Recursive, "Recursive / " + string.Join(" / ", Enumerable.Repeat("Recursion", Depth)));
        yield return new("tail calls", TailCalls, "TailCalls / TailTarget");
        yield return new("tail call of the leaf", TailCallOfLeaf, "TailCallOfLeaf");
        yield return new("generic method, struct", GenericOverStruct, "GenericOverStruct / Generic1<Int32>");
        yield return new("generic methods, class", GenericOverClass,
            "GenericOverClass / Generic2<__Canon,Int32> / Generic3<__Canon>");
        yield return new("generic type, struct", GenericTypeOfStruct, "GenericTypeOfStruct / +Truth.Holder<Int32>.Hold");
        yield return new("generic type, class", GenericTypeOfClass, "GenericTypeOfClass / +Truth.Holder<__Canon>.Hold");
        yield return new("static abstract", StaticAbstract, "StaticAbstract / CallMake<StructStep> / +Truth.StructStep.Make");
        yield return new("virtual", Virtual, "Virtual / +Truth.ClassStep.Run");
        yield return new("generic virtual", GenericVirtual, "GenericVirtual / +Truth.ClassStep.RunFor<__Canon>");
        yield return new("interface", Interface, "Interface / +Truth.ClassStep.Go");
        yield return new("boxed struct", BoxedStruct, "BoxedStruct / +Truth.StructStep.Go");
        yield return new("default of an interface", DefaultOfInterface, "DefaultOfInterface / +Truth.IStep.ByDefault");
        yield return new("delegate", CallDelegate, "CallDelegate / DelegateTarget");
        yield return new("multicast delegate", CallMulticast, "CallMulticast / Multicast1");
        yield return new("try", InTry, "InTry");
        yield return new("finally", InFinally, "InFinally", "InFinally / InFinally");
        yield return new("catch", InCatch, "InCatch / Throws / InCatch");
        yield return new("filter", InFilter, "InFilter / Throws / InFilter");
        yield return new("finally in flight", Catches, "Catches / InFinallyInFlight / Throws / InFinallyInFlight");
        yield return new("loop", Loop, "Loop");
        yield return new("stackalloc 300", Stackalloc300, "Stackalloc300");
        yield return new("stackalloc 1 KiB", Stackalloc1K, "Stackalloc1K");
        yield return new("stackalloc, any size", StackallocUnknown, "StackallocUnknown");
        yield return new("large local", LargeLocal, "LargeLocal");
        yield return new("large argument", LargeArgument, "LargeArgument / TakesLarge");
        yield return new("large local and stackalloc", LargeAndStackalloc, "LargeAndStackalloc");
        yield return new("function pointer from native", CallbackFromNative, "CallbackFromNative / Compare") { Through = "qsort" };
        yield return new("delegate from native", DelegateFromNative, "DelegateFromNative / CompareManaged") { Through = "qsort" };
        yield return new("LINQ", Linq, "Linq / Linq (lambda)");
        yield return new("library calls back", LibraryCallsBack, "LibraryCallsBack / LibraryCallsBack (lambda)");
        yield return new("lambda", StaticLambda, "StaticLambda / StaticLambda (lambda)");
        yield return new("local function", LocalFunction, "LocalFunction / LocalFunction.Inner");
        yield return new("local function with closure", LocalFunctionWithClosure,
            "LocalFunctionWithClosure / LocalFunctionWithClosure.Closure");
        yield return new("iterator", Iterate, "Iterate / Items (iterator)");
#if RUNTIME_ASYNC
        // Called by what is no such method it is called through another by its name.
        yield return new("async, inline", AsyncInline, "AsyncInline / Inline1 / Inline1 / Inline2", "AsyncInline / Inline1 / Inline2");
        yield return new("async, suspended", AsyncSuspended, "Suspended") { FromMain = false };
        yield return new("async, continued", AsyncContinued, "Continued") { FromMain = false };
        yield return new("async local function", AsyncLocalFunction, "AsyncLocalFunction.InnerAsync") { FromMain = false };
#else
        yield return new("async, inline", AsyncInline, "AsyncInline / Inline1 / Inline1 (async) / Inline2 / Inline2 (async)");
        yield return new("async, suspended", AsyncSuspended, "Suspended (async)") { FromMain = false };
        yield return new("async, continued", AsyncContinued, "WaitsOnly (async) / Continued (async)") { FromMain = false };
        yield return new("async local function", AsyncLocalFunction, "AsyncLocalFunction.InnerAsync (async)") { FromMain = false };
#endif
        yield return new("own thread", OwnThread, "InThread") { FromMain = false };
        yield return new("pool thread", PoolThread, "InPool") { FromMain = false };
        if (Emitted != null)
        {
            yield return new("dynamic method", Dynamic, "Dynamic / +dynamicClass.Forward");
        }
    }

    private static int Main(string[] arguments)
    {
        Console.WriteLine("ready");
        Case[] cases = Cases().ToArray();
        bool check = arguments.Length > 1;
        int wrong = 0;
        long begin = Stopwatch.GetTimestamp();
        double seconds = double.Parse(arguments[0], CultureInfo.InvariantCulture);
        for (int round = 0; Stopwatch.GetElapsedTime(begin).TotalSeconds < seconds; round++)
        {
            foreach (Case one in cases)
            {
                // Other threads work longer and less often: a thread that lives for a millisecond is hardly met.
                if (!one.FromMain && round % 4 != 0)
                {
                    continue;
                }
                if (check)
                {
                    Spin.Check = () => wrong += Frames.Differ(one) ? 1 : 0;
                }
                Spin.Spent = 0;
                sink += one.Run(one.FromMain ? 1_000_000 : 4_000_000);
                one.Spent += Spin.Spent;
            }
        }
        Print(cases);
        return wrong == 0 ? 0 : 1;
    }

    private static void Print(Case[] cases)
    {
        var bytes = new MemoryStream();
        using (var json = new Utf8JsonWriter(bytes))
        {
            json.WriteStartObject();
            json.WriteStartArray("cases");
            foreach (Case one in cases)
            {
                json.WriteStartObject();
                json.WriteString("name", one.Name);
                json.WriteBoolean("from_main", one.FromMain);
                json.WriteString("through", one.Through);
                json.WriteNumber("cpu", one.Spent);
                json.WriteStartArray("chains");
                foreach (string[] chain in one.Chains)
                {
                    json.WriteStartArray();
                    foreach (string name in chain)
                    {
                        json.WriteStringValue(name);
                    }
                    json.WriteEndArray();
                }
                json.WriteEndArray();
                json.WriteEndObject();
            }
            json.WriteEndArray();
            json.WriteNumber("process", Clock.Process());
            json.WriteEndObject();
        }
        Console.WriteLine(System.Text.Encoding.UTF8.GetString(bytes.ToArray()));
    }
}
