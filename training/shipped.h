// The recipes of configs/recipes/, embedded at build time. Private to this folder.
#pragma once

#include <string_view>

namespace mss::training {

struct ShippedRecipe {
  const char* name;  ///< file name without ".toml"
  const char* text;
};
extern const ShippedRecipe kShippedRecipes[];
extern const int kShippedRecipeCount;

/// nullptr where there is none of this name.
inline const ShippedRecipe* shipped_recipe(std::string_view name) {
  for (int i = 0; i < kShippedRecipeCount; ++i) {
    if (name == kShippedRecipes[i].name) return &kShippedRecipes[i];
  }
  return nullptr;
}

}  // namespace mss::training
