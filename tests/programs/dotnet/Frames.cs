// SPDX-License-Identifier: Apache-2.0
using System.Diagnostics;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;

namespace Truth;

/// <summary>What the runtime itself says of its stack, for `chains check`.</summary>
internal static class Frames
{
    private static readonly HashSet<string> Said = [];

    /// <summary>Whether the stack is none of the case's; says so once.</summary>
    public static bool Differ(Case one)
    {
        // The runtime's traces have no arguments of generics. Of a method and its handler they show one, without what
        // lies in between when an exception is in flight. And they show methods of native libraries.
        string[] own = new StackTrace().GetFrames().Select(frame => frame.GetMethod()).OfType<MethodBase>().Select(Name)
            .Where(name => name.StartsWith("Truth.", StringComparison.Ordinal) || name.StartsWith("dynamicClass.Forward", StringComparison.Ordinal))
            .Where(name => name != "Truth.Chains.Sort").SkipWhile(name => name != "Truth.Spin.Here").Reverse().ToArray();
        string found = string.Join(" / ", own);
        string[] right = one.Chains.Select(chain => string.Join(" / ", chain.Select(name => Regex.Replace(name, "<.*>", "")))).ToArray();
        string inFlight = Regex.Replace(found, @" / (\S+)( / Truth\.Spin\.Here)$", " / $1 / Truth.Chains.Throws / $1$2");
        if (right.Contains(found) || right.Contains(inFlight))
        {
            return false;
        }
        if (Said.Add(one.Name + found))
        {
            Console.WriteLine($"{one.Name}:\n  the runtime says {found}\n  we say           {string.Join("\n            or    ", right)}");
        }
        return true;
    }

    private static string Name(MethodBase method)
    {
        Type? type = method.DeclaringType;
        string name = method.Name, mark = "";
        if (type == null)
        {
            return "dynamicClass." + name;
        }
        if (name == "MoveNext" && type.DeclaringType != null && Regex.Match(type.Name, @"^<(.+)>d(__\d+)?(`\d+)?$") is { Success: true } machine)
        {
            mark = typeof(IAsyncStateMachine).IsAssignableFrom(type) ? " (async)" : " (iterator)";
            name = machine.Groups[1].Value;
            type = type.DeclaringType;
        }
        while (type.Name.StartsWith("<>c", StringComparison.Ordinal))
        {
            type = type.DeclaringType!;
        }
        name = Regex.Replace(name, @"^<(.+)>g__(\w+)\|.*$", "$1.$2");
        name = Regex.Replace(name, @"^<(.+)>b__.*$", "$1 (lambda)");
        return Regex.Replace($"{type.Namespace}.{type.Name}", @"`\d+$", "") + "." + name + mark;
    }
}
