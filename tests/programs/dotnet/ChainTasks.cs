// SPDX-License-Identifier: Apache-2.0
using System.Runtime.CompilerServices;

namespace Truth;

/// <summary>Methods that the C# compiler makes, tasks and threads.</summary>
internal static partial class Chains
{
    [MethodImpl(Keep)]
    private static long Linq(long time) => Enumerable.Range(0, 1).Select([MethodImpl(Keep)] (item) => Spin.Here(time) + item).Sum() + 1;

    [MethodImpl(Keep)]
    private static long LibraryCallsBack(long time)
    {
        int[] items = [2, 1];
        Array.Sort(items, [MethodImpl(Keep)] (x, y) =>
        {
            sink += Spin.Here(time);
            return x.CompareTo(y);
        });
        return items[0];
    }

    [MethodImpl(Keep)]
    private static long StaticLambda(long time)
    {
        Func<long, long> lambda = [MethodImpl(Keep)] static (time) => Spin.Here(time) + 1;
        return lambda(time) + 1;
    }

    [MethodImpl(Keep)]
    private static long LocalFunction(long time)
    {
        return Inner(time) + 1;

        [MethodImpl(Keep)]
        static long Inner(long time) => Spin.Here(time) + 1;
    }

    [MethodImpl(Keep)]
    private static long LocalFunctionWithClosure(long time)
    {
        return Closure(1) + 1;

        [MethodImpl(Keep)]
        long Closure(long add) => Spin.Here(time) + add;
    }

    // Optimized at once, it learns nothing of the objects that come along, and so cannot inline what they do.
    [MethodImpl(Keep | Optimized)]
    private static long Iterate(long time)
    {
        long sum = 0;
        foreach (long item in Items(time))
        {
            sum += item;
        }
        return sum;
    }

    [MethodImpl(Keep)]
    private static IEnumerable<long> Items(long time)
    {
        yield return Spin.Here(time);
    }

    // Nothing in it waits: everything is called.
    [MethodImpl(Keep)]
    private static long AsyncInline(long time) => Inline1(time).GetAwaiter().GetResult() + 1;

    [MethodImpl(Keep)]
    private static async Task<long> Inline1(long time) => await Inline2(time) + 1;

    [MethodImpl(Keep)]
    private static async Task<long> Inline2(long time)
    {
        await Task.CompletedTask;
        return Spin.Here(time) + 1;
    }

    // Goes on in a thread of the pool, where its callers are not.
    [MethodImpl(Keep)]
    private static long AsyncSuspended(long time) => Open(gate => Suspended(time, gate));

    [MethodImpl(Keep)]
    private static async Task<long> Suspended(long time, Task gate)
    {
        await gate;
        return Spin.Here(time) + 1;
    }

    // What waits for a task runs where the task ends.
    [MethodImpl(Keep)]
    private static long AsyncContinued(long time) => Open(gate => Continued(time, gate));

    [MethodImpl(Keep)]
    private static async Task<long> Continued(long time, Task gate)
    {
        long waited = await WaitsOnly(gate);
        return Spin.Here(time) + waited;
    }

    [MethodImpl(Keep)]
    private static async Task<long> WaitsOnly(Task gate)
    {
        await gate;
        return 1;
    }

    [MethodImpl(Keep)]
    private static long AsyncLocalFunction(long time)
    {
        return Open(gate => InnerAsync(time, gate));

        [MethodImpl(Keep)]
        static async Task<long> InnerAsync(long time, Task gate)
        {
            await gate;
            return Spin.Here(time) + 1;
        }
    }

    private static long Open(Func<Task, Task<long>> run)
    {
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<long> task = run(gate.Task);
        gate.SetResult();
        return task.GetAwaiter().GetResult();
    }

    [MethodImpl(Keep)]
    private static long OwnThread(long time)
    {
        var thread = new Thread(InThread);
        thread.Start(time);
        thread.Join();
        return 1;
    }

    [MethodImpl(Keep)]
    private static void InThread(object? time) => sink += Spin.Here((long)time!);

    [MethodImpl(Keep)]
    private static long PoolThread(long time)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        ThreadPool.QueueUserWorkItem(InPool, (time, done), preferLocal: false);
        done.Task.Wait();
        return 1;
    }

    [MethodImpl(Keep)]
    private static void InPool((long Time, TaskCompletionSource Done) item)
    {
        sink += Spin.Here(item.Time);
        item.Done.SetResult();
    }
}
