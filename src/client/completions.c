/* SPDX-License-Identifier: Apache-2.0 */
/* The option that a word completes depends on the form, since letters mean different things there. */

#include "client/completions.h"

#include <stdio.h>
#include <string.h>

#define URLS "udp:// tcp:// tls:// dtls:// unix:"

/* One line of a script for each option. */
typedef void (*print_option)(const struct form *form, const struct option_shown *option);

static void for_each(const struct form *form, print_option print)
{
	struct option_shown option;

	for (size_t i = 0; options_show(form, i, &option); i++)
		if (option.name)
			print(form, &option);
}

/* In single quotes, for any of the shells; `also` are further characters to escape with a backslash. */
static void print_quoted(const char *text, const char *also)
{
	for (; *text; text++) {
		if (*text == '\'')
			fputs("'\\'", stdout);
		else if (strchr(also, *text))
			putchar('\\');
		putchar(*text);
	}
}

static void bash_word(const struct form *form, const struct option_shown *option)
{
	printf(" --%s", option->name);
}

/* The value of an option: a file, a choice, or anything. */
static void bash_value(const struct form *form, const struct option_shown *option)
{
	if (!option->argument)
		return;
	printf("\t\t--%s", option->name);
	if (option->letter)
		printf("|-%c", option->letter);
	if (option->choices)
		printf(") COMPREPLY=($(compgen -W '%s' -- \"$cur\")); return ;;\n",
			option->choices);
	else if (strcmp(option->argument, "FILE") == 0)
		printf(") COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n");
	else
		printf(") return ;;\n");
}

static void print_bash(const struct form *forms)
{
	printf("# upper, for bash; made by upper --completions bash\n\n_upper()\n{\n"
	       "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} "
	       "options\n\n"
	       "\tCOMPREPLY=()\n\tcase ${COMP_WORDS[1]} in\n");
	for (const struct form *form = forms;; form++) {
		printf("\t%s)\n\t\toptions='", form->name ? form->name : "*");
		for_each(form, bash_word);
		printf("'\n\t\tcase $prev in\n");
		for_each(form, bash_value);
		printf("\t\tesac ;;\n");
		if (!form->name)
			break;
	}
	printf("\tesac\n\tif [[ $cur == -* ]]; then\n"
	       "\t\tCOMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n"
	       "\telif ((COMP_CWORD == 1)); then\n\t\tCOMPREPLY=($(compgen -W '");
	for (const struct form *form = forms; form->name; form++)
		printf("%s ", form->name);
	printf(URLS
		"' -- \"$cur\"))\n\telse\n"
		"\t\tCOMPREPLY=($(compgen -W '" URLS "' -- \"$cur\"))\n\tfi\n"
		"\t[[ ${COMPREPLY[*]} == *: || ${COMPREPLY[*]} == *:// ]] && compopt -o nospace "
		"2>/dev/null\n\treturn 0\n}\ncomplete -F _upper upper\n");
}

static void zsh_line(const struct form *form, const struct option_shown *option)
{
	printf("\t\t\t");
	if (option->letter)
		printf("'(-%c --%s)'{-%c,--%s}'[", option->letter, option->name, option->letter,
			option->name);
	else
		printf("'--%s[", option->name);
	print_quoted(option->help, "[]:");
	putchar(']');
	if (option->argument)
		printf(":%s:", option->argument);
	if (option->choices)
		printf("(%s)", option->choices);
	else if (option->argument && strcmp(option->argument, "FILE") == 0)
		fputs("_files", stdout);
	printf("' \\\n");
}

static void print_zsh(const struct form *forms)
{
	printf("#compdef upper\n# made by upper --completions zsh\n\n_upper()\n{\n"
	       "\tcase ${words[2]} in\n");
	for (const struct form *form = forms;; form++) {
		printf("\t%s)\n\t\t_arguments -S \\\n", form->name ? form->name : "*");
		for_each(form, zsh_line);
		if (form->name)
			printf("\t\t\t'*:url:(udp\\:// tcp\\:// tls\\:// dtls\\:// "
			       "unix\\:)'\n\t\t;;\n");
		else
			break;
	}
	printf("\t\t\t'1:form:(");
	for (const struct form *form = forms; form->name; form++)
		printf("%s ", form->name);
	printf("udp\\:// tcp\\:// tls\\:// dtls\\:// unix\\:)' "
	       "'*:text:'\n\t\t;;\n\tesac\n}\n\n_upper \"$@\"\n");
}

static void fish_line(const struct form *form, const struct option_shown *option)
{
	printf("complete -c upper -n '");
	if (form->name)
		printf("__fish_seen_subcommand_from %s", form->name);
	else
		printf("__upper_has_no_form");
	printf("' -l %s", option->name);
	if (option->letter)
		printf(" -s %c", option->letter);
	if (option->choices)
		printf(" -x -a '%s'", option->choices);
	else if (option->argument)
		printf(strcmp(option->argument, "FILE") == 0 ? " -r -F" : " -x");
	printf(" -d '");
	print_quoted(option->help, "");
	printf("'\n");
}

static void print_fish(const struct form *forms)
{
	const struct form *form;

	printf("# upper, for fish; made by upper --completions fish\n\nfunction "
	       "__upper_has_no_form\n"
	       "\tnot __fish_seen_subcommand_from");
	for (form = forms; form->name; form++)
		printf(" %s", form->name);
	printf("\nend\n\ncomplete -c upper -f -a '" URLS "'\n");
	for (form = forms; form->name; form++) {
		printf("complete -c upper -n __fish_is_first_token -a %s -d '", form->name);
		print_quoted(form->summary, "");
		printf("'\n");
	}
	for (form = forms;; form++) {
		for_each(form, fish_line);
		if (!form->name)
			break;
	}
}

void completions_print(const char *shell, const struct form *forms)
{
	if (strcmp(shell, "bash") == 0)
		print_bash(forms);
	else if (strcmp(shell, "zsh") == 0)
		print_zsh(forms);
	else
		print_fish(forms);
}
