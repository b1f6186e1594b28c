// SPDX-License-Identifier: Apache-2.0

// A small web service whose handlers make much garbage.
//
// usage: service
//
// A thread of its own spins for a millisecond now and then in a loop that only the runtime's signal can stop, until
// another tells it: who keeps the signal back leaves both waiting for ever, for a collection stops the other one first.
//
// Listens on 127.0.0.1 and a free port, and prints "ready PORT". /orders/N replies with JSON, /report/N with the
// JSON of what an async handler read and summed up, /status with the counts so far. SIGTERM ends it when what was
// begun is answered; then it prints one line of JSON: requests begun and answered, garbage collections by
// generation, CPU nanoseconds of the process, and milliseconds since "ready".
using System.Diagnostics;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Truth;

internal sealed record Order(int Number, string Customer, double Price, string[] Items);

internal sealed record Report(int Orders, double Sum, string First);

internal sealed record Status(long Begun, long Answered, int[] Collections, long Process, long Milliseconds);

internal static class Service
{
    private static readonly string[] Goods = ["apples", "bread", "cheese", "dates", "eggs", "figs"];
    private static readonly byte[]?[] Kept = new byte[]?[256]; // what was allocated of late lives a while
    private static readonly long Begin = Stopwatch.GetTimestamp();
    private static readonly SemaphoreSlim Turns = new(0);
    private static int spinning;
    private static long begun;
    private static long answered;
    private static int next;

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Order[] Orders(int count)
    {
        var orders = new Order[count];
        for (int i = 0; i < count; i++)
        {
            var items = new string[1 + i % 4];
            for (int j = 0; j < items.Length; j++)
            {
                items[j] = Goods[(i + j) % Goods.Length] + "-" + j.ToString(CultureInfo.InvariantCulture);
            }
            orders[i] = new Order(i, "customer " + (i * 7919 % 104729).ToString(CultureInfo.InvariantCulture), i * 0.5, items);
        }
        Garbage(count);
        return orders;
    }

    // As a cache does: each request puts some pieces into it, and others become garbage.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Garbage(int count)
    {
        for (int i = 0; i < count; i++)
        {
            var piece = new byte[8192];
            piece[i % piece.Length] = 1;
            Kept[(uint)Interlocked.Increment(ref next) % Kept.Length] = piece;
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static async Task<Report> MakeReport(int count)
    {
        string text = JsonSerializer.Serialize(Orders(count));
        await Task.Yield(); // goes on in another item of the thread pool
        using var stream = new MemoryStream(Encoding.UTF8.GetBytes(text));
        Order[] orders = (await JsonSerializer.DeserializeAsync<Order[]>(stream))!;
        return new Report(orders.Length, orders.Sum(order => order.Price), orders[0].Customer);
    }

    // No call, hence no place where it would stop by itself.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void UntilTold()
    {
        while (Volatile.Read(ref spinning) != 0)
        {
        }
    }

    private static void Spin()
    {
        while (true)
        {
            Turns.Wait();
            UntilTold();
        }
    }

    private static void Tell()
    {
        while (true)
        {
            Volatile.Write(ref spinning, 1);
            Turns.Release();
            Thread.Sleep(1);
            Volatile.Write(ref spinning, 0);
            Thread.Sleep(10);
        }
    }

    private static async Task Count(HttpContext context, RequestDelegate rest)
    {
        Interlocked.Increment(ref begun);
        await rest(context);
        Interlocked.Increment(ref answered);
    }

    private static Status Now() => new(begun, answered,
        [GC.CollectionCount(0), GC.CollectionCount(1), GC.CollectionCount(2)], Clock.Process(),
        (long)Stopwatch.GetElapsedTime(Begin).TotalMilliseconds);

    private static async Task Main()
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        await using WebApplication service = builder.Build();
        service.Urls.Add("http://127.0.0.1:0");
        service.Use(Count);
        service.MapGet("/orders/{count:int}", Orders);
        service.MapGet("/report/{count:int}", MakeReport);
        service.MapGet("/status", Now);
        await service.StartAsync();
        new Thread(Spin) { IsBackground = true, Name = "spin" }.Start();
        new Thread(Tell) { IsBackground = true, Name = "tell" }.Start();
        Console.WriteLine($"ready {new Uri(service.Urls.First()).Port}");
        await service.WaitForShutdownAsync();
        Console.WriteLine(JsonSerializer.Serialize(Now(), JsonSerializerOptions.Web));
    }
}
