// SPDX-License-Identifier: Apache-2.0
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Truth;

[InlineArray(200)]
internal struct Large
{
    private long first_;
}

/// <summary>Large frames, frames without a fixed size, and calls from native code.</summary>
internal static unsafe partial class Chains
{
    private static readonly Comparison Managed = CompareManaged;
    private static readonly nint ManagedPointer = Marshal.GetFunctionPointerForDelegate(Managed);

    [MethodImpl(Keep)]
    private static void Fill(byte* bytes, int size) => new Span<byte>(bytes, size).Fill(1);

    [MethodImpl(Keep)]
    private static long Stackalloc300(long time)
    {
        byte* bytes = stackalloc byte[300];
        Fill(bytes, 300);
        return Spin.Here(time) + bytes[299];
    }

    [MethodImpl(Keep)]
    private static long Stackalloc1K(long time)
    {
        byte* bytes = stackalloc byte[1024];
        Fill(bytes, 1024);
        return Spin.Here(time) + bytes[1023];
    }

    [MethodImpl(Keep)]
    private static long StackallocUnknown(long time)
    {
        int size = (int)(time & 7) * 500 + 400;
        byte* bytes = stackalloc byte[size];
        Fill(bytes, size);
        return Spin.Here(time) + bytes[size - 1];
    }

    [MethodImpl(Keep)]
    private static long LargeLocal(long time)
    {
        Large large = default;
        FillLarge(ref large);
        return Spin.Here(time) + large[199];
    }

    [MethodImpl(Keep)]
    private static void FillLarge(ref Large large) => large[199] = large[0] + 1;

    [MethodImpl(Keep)]
    private static long LargeArgument(long time)
    {
        Large large = default;
        FillLarge(ref large);
        return TakesLarge(large, time) + large[199];
    }

    [MethodImpl(Keep)]
    private static long TakesLarge(Large large, long time) => Spin.Here(time) + large[199];

    // A frame pointer that lies far from the end of the frame.
    [MethodImpl(Keep)]
    private static long LargeAndStackalloc(long time)
    {
        Large large = default;
        byte* bytes = stackalloc byte[1024];
        Fill(bytes, 1024);
        FillLarge(ref large);
        return Spin.Here(time) + large[199] + bytes[1023];
    }

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    private delegate int Comparison(long* x, long* y);

    [DllImport("libc", EntryPoint = "qsort")]
    private static extern void Sort(long* items, nuint count, nuint size, void* compare);

    [MethodImpl(Keep)]
    private static long CallbackFromNative(long time)
    {
        long* items = stackalloc long[2] { time, time - 1 };
        delegate* unmanaged[Cdecl]<long*, long*, int> compare = &Compare;
        Sort(items, 2, sizeof(long), compare);
        return items[0] + 1;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Compare(long* x, long* y)
    {
        sink += Spin.Here(Math.Max(*x, *y));
        return x->CompareTo(*y);
    }

    [MethodImpl(Keep)]
    private static long DelegateFromNative(long time)
    {
        long* items = stackalloc long[2] { time, time - 1 };
        Sort(items, 2, sizeof(long), (void*)ManagedPointer);
        return items[0] + 1;
    }

    [MethodImpl(Keep)]
    private static int CompareManaged(long* x, long* y)
    {
        sink += Spin.Here(Math.Max(*x, *y));
        return x->CompareTo(*y);
    }
}
