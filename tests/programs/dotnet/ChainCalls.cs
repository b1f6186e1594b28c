// SPDX-License-Identifier: Apache-2.0
using System.Reflection.Emit;
using System.Runtime.CompilerServices;

namespace Truth;

internal interface IStep
{
    long Go(long time);

    [MethodImpl(MethodImplOptions.NoInlining)]
    long ByDefault(long time) => Spin.Here(time) + 1;
}

internal interface IMaker
{
    static abstract long Make(long time);
}

internal abstract class Step
{
    public abstract long Run(long time);

    public abstract long RunFor<T>(long time);
}

internal sealed class ClassStep : Step, IStep
{
    [MethodImpl(MethodImplOptions.NoInlining)]
    public long Go(long time) => Spin.Here(time) + 1;

    [MethodImpl(MethodImplOptions.NoInlining)]
    public override long Run(long time) => Spin.Here(time) + 1;

    [MethodImpl(MethodImplOptions.NoInlining)]
    public override long RunFor<T>(long time) => Spin.Here(time) + typeof(T).Name.Length;
}

internal struct StructStep : IStep, IMaker
{
    public long Sum;

    [MethodImpl(MethodImplOptions.NoInlining)]
    public long Go(long time) => Sum += Spin.Here(time);

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static long Make(long time) => Spin.Here(time) + 1;
}

internal sealed class Holder<T>
{
    private readonly List<T> items_ = [];

    [MethodImpl(MethodImplOptions.NoInlining)]
    public long Hold(long time, T item)
    {
        items_.Clear();
        items_.Add(item);
        return Spin.Here(time) + items_.Count;
    }
}

internal static class Initialized
{
    public static readonly long Value;

    static Initialized()
    {
        Value = Spin.Here(100_000_000) + 1;
    }
}

/// <summary>Ways to call, handlers of exceptions, and what is compiled while it runs.</summary>
internal static partial class Chains
{
    private const int Depth = 60;

    private static readonly Step[] Steps = [new ClassStep()];
    private static readonly IStep[] InterfaceSteps = [new ClassStep(), default(StructStep)];
    private static readonly Func<long, long> Target = DelegateTarget;
    private static readonly Func<long, long> Many = (Func<long, long>)Delegate.Combine(Nothing, Multicast1);
    private static readonly unsafe nint TailPointer1 = (nint)(delegate*<long, long>)&TailCall1;
    private static readonly unsafe nint TailPointer2 = (nint)(delegate*<long, long>)&TailCall2;
    private static readonly unsafe nint TailPointer3 = (nint)(delegate*<long, long>)&TailToLeaf;
    private static readonly Func<long, long>? Emitted = Emit();

    // Calls that do nothing else. What a call returns is used after it, so it is no tail call.
    [MethodImpl(Keep)]
    private static long Wrappers(long time) => Wrapper1(time) + 1;

    [MethodImpl(Keep)]
    private static long Wrapper1(long time) => Wrapper2(time) + 1;

    [MethodImpl(Keep)]
    private static long Wrapper2(long time) => Wrapper3(time) + 1;

    [MethodImpl(Keep)]
    private static long Wrapper3(long time) => Spin.Here(time) + 1;

    [MethodImpl(Keep)]
    private static long Recursive(long time) => Recursion(time, Depth) + 1;

    [MethodImpl(Keep)]
    private static long Recursion(long time, int depth) => depth == 1 ? Spin.Here(time) + 1 : Recursion(time, depth - 1) + 1;

    // The methods in the middle have gone when the last one runs. They are called through pointers, which no compiler
    // looks behind; that they must not be inlined cannot be asked for, since no such method ends in a tail call.
    [MethodImpl(Keep)]
    private static unsafe long TailCalls(long time) => ((delegate*<long, long>)TailPointer1)(time) + 1;

    [MethodImpl(Optimized)]
    private static unsafe long TailCall1(long time) => ((delegate*<long, long>)TailPointer2)(time + 1);

    [MethodImpl(Optimized)]
    private static long TailCall2(long time) => TailTarget(time + 7);

    [MethodImpl(Keep)]
    private static long TailTarget(long time) => Spin.Here(time) + 1;

    [MethodImpl(Keep)]
    private static unsafe long TailCallOfLeaf(long time) => ((delegate*<long, long>)TailPointer3)(time) + 1;

    [MethodImpl(Optimized)]
    private static long TailToLeaf(long time) => Spin.Here(time);

    [MethodImpl(Keep)]
    private static long GenericOverStruct(long time) => Generic1(time, 5) + 1;

    [MethodImpl(Keep)]
    private static long Generic1<T>(long time, T item) => Spin.Here(time) + item!.GetHashCode();

    [MethodImpl(Keep)]
    private static long GenericOverClass(long time) => Generic2(time, "text", 5) + 1;

    [MethodImpl(Keep)]
    private static long Generic2<T, U>(long time, T item, U other) => Generic3(time, new[] { item }) + typeof(U).Name.Length;

    [MethodImpl(Keep)]
    private static long Generic3<T>(long time, T[] items) => Spin.Here(time) + typeof(T).Name.Length + items.Length;

    [MethodImpl(Keep)]
    private static long GenericTypeOfStruct(long time) => new Holder<int>().Hold(time, 1) + 1;

    [MethodImpl(Keep)]
    private static long GenericTypeOfClass(long time) => new Holder<string>().Hold(time, "text") + 1;

    [MethodImpl(Keep)]
    private static long StaticAbstract(long time) => CallMake<StructStep>(time) + 1;

    [MethodImpl(Keep)]
    private static long CallMake<T>(long time)
        where T : IMaker => T.Make(time) + 1;

    [MethodImpl(Keep)]
    private static long Virtual(long time) => Steps[0].Run(time) + 1;

    [MethodImpl(Keep)]
    private static long GenericVirtual(long time) => Steps[0].RunFor<string>(time) + 1;

    [MethodImpl(Keep)]
    private static long Interface(long time) => InterfaceSteps[0].Go(time) + 1;

    [MethodImpl(Keep)]
    private static long BoxedStruct(long time) => InterfaceSteps[1].Go(time) + 1;

    [MethodImpl(Keep)]
    private static long DefaultOfInterface(long time) => InterfaceSteps[0].ByDefault(time) + 1;

    [MethodImpl(Keep)]
    private static long CallDelegate(long time) => Target(time) + 1;

    [MethodImpl(Keep)]
    private static long DelegateTarget(long time) => Spin.Here(time) + 1;

    [MethodImpl(Keep)]
    private static long CallMulticast(long time) => Many(time) + 1;

    [MethodImpl(Keep)]
    private static long Nothing(long time) => time + 1;

    [MethodImpl(Keep)]
    private static long Multicast1(long time) => Spin.Here(time) + 1;

    [MethodImpl(Keep)]
    private static long Throws(long time) => time > 0 ? throw new InvalidOperationException() : time;

    [MethodImpl(Keep)]
    private static long InTry(long time)
    {
        try
        {
            return Spin.Here(time) + 1;
        }
        catch (InvalidOperationException)
        {
            return 1;
        }
    }

    [MethodImpl(Keep)]
    private static long InFinally(long time)
    {
        long result = 0;
        try
        {
            result = Nothing(time);
        }
        finally
        {
            result += Spin.Here(time);
        }
        return result;
    }

    // While an exception is in flight the frames from the throw on are still there, below the handler's.
    [MethodImpl(Keep)]
    private static long InCatch(long time)
    {
        try
        {
            return Throws(time) + 1;
        }
        catch (InvalidOperationException)
        {
            return Spin.Here(time) + 1;
        }
    }

    [MethodImpl(Keep)]
    private static long InFilter(long time)
    {
        try
        {
            return Throws(time) + 1;
        }
        catch (InvalidOperationException) when (Spin.Here(time) != 0)
        {
            return 1;
        }
    }

    [MethodImpl(Keep)]
    private static long Catches(long time)
    {
        try
        {
            return InFinallyInFlight(time) + 1;
        }
        catch (InvalidOperationException)
        {
            return 1;
        }
    }

    [MethodImpl(Keep)]
    private static long InFinallyInFlight(long time)
    {
        try
        {
            return Throws(time) + 1;
        }
        finally
        {
            sink += Spin.Here(time);
        }
    }

    // Replaced on the stack while it runs, as long as it was compiled without optimisations.
    [MethodImpl(Keep)]
    private static long Loop(long time)
    {
        long sum = 0;
        for (int i = 0; i < 100_000; i++)
        {
            sum += i ^ (sum << 1);
            if (i == 99_999)
            {
                sum += Spin.Here(time);
            }
        }
        return sum;
    }

    private static Func<long, long>? Emit()
    {
        if (!RuntimeFeature.IsDynamicCodeSupported)
        {
            return null;
        }
        var method = new DynamicMethod("Forward", typeof(long), [typeof(long)], typeof(Chains).Module);
        ILGenerator code = method.GetILGenerator();
        code.Emit(OpCodes.Ldarg_0);
        code.Emit(OpCodes.Call, typeof(Spin).GetMethod(nameof(Spin.Here))!);
        code.Emit(OpCodes.Ldc_I8, 1L);
        code.Emit(OpCodes.Add);
        code.Emit(OpCodes.Ret);
        return method.CreateDelegate<Func<long, long>>();
    }

    [MethodImpl(Keep)]
    private static long Dynamic(long time) => Emitted!(time) + 1;

    [MethodImpl(Keep)]
    private static long StaticConstructor(long time) => Initialized.Value + time;
}
