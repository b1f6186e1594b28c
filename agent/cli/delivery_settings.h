// SPDX-License-Identifier: Apache-2.0
// What the flags of the delivery take: each checks its text and takes it over (Option::apply).
#pragma once

#include <string>

#include "agent/base/error.h"
#include "agent/cli/settings.h"

namespace agent {

Result<void> ApplyServerAddress(Settings& settings, const std::string& text);
Result<void> ApplyApplicationName(Settings& settings, const std::string& text);
Result<void> ApplyTag(Settings& settings, const std::string& text);
Result<void> ApplyUploadFormat(Settings& settings, const std::string& text);
Result<void> ApplyUploadInterval(Settings& settings, const std::string& text);
Result<void> ApplyRequestTimeout(Settings& settings, const std::string& text);
Result<void> ApplyAuthToken(Settings& settings, const std::string& text);
Result<void> ApplyAuthTokenFile(Settings& settings, const std::string& text);
Result<void> ApplyBasicAuthUser(Settings& settings, const std::string& text);
Result<void> ApplyBasicAuthPassword(Settings& settings, const std::string& text);
Result<void> ApplyTenantId(Settings& settings, const std::string& text);
Result<void> ApplyHeader(Settings& settings, const std::string& text);
Result<void> ApplyCaFile(Settings& settings, const std::string& text);
Result<void> ApplyClientCert(Settings& settings, const std::string& text);
Result<void> ApplyClientKey(Settings& settings, const std::string& text);
Result<void> ApplySpool(Settings& settings, const std::string& text);
Result<void> ApplyListen(Settings& settings, const std::string& text);

/// Name and labels by the variables that are no option's: OTEL_SERVICE_NAME (for an application
/// name that is not given), OTEL_RESOURCE_ATTRIBUTES and PYROSCOPE_LABELS, each before the tags
/// that are given.
void ApplyIdentity(const GetEnvironment& get_environment, Settings& settings);

/// Overwrites the secrets of the command line in `argv` itself, where the list of processes shows
/// them.
void HideSecrets(const Settings& settings, int argc, char** argv);

}  // namespace agent
